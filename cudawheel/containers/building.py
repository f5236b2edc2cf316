"""Running cibuildwheel on a recipe, and holding what comes out to the same audit as any other wheel."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement

from cudawheel.audit.expectation import Expectation
from cudawheel.audit.report import audit
from cudawheel.builder.archives import package_index
from cudawheel.builder.diagnosis import diagnose
from cudawheel.builder.frontend import static_requires
from cudawheel.builder.own_wheel import own_wheel
from cudawheel.builder.requirements import build_requires, wheel_requirements
from cudawheel.builder.sources import FetchedSource, fetch, lay_out
from cudawheel.containers.engine import find_engine
from cudawheel.containers.images import image_for
from cudawheel.containers.options import (
    BESIDE,
    CHECK,
    OVERRIDES,
    REQUIREMENTS,
    ContainerRun,
    group,
    options_for,
    to_toml,
)
from cudawheel.errors import CudawheelError, ExtraMissingError
from cudawheel.files import disk_errors, write_atomically
from cudawheel.model.progress import Progress
from cudawheel.model.variant import Variant
from cudawheel.model.wheel_name import local_version
from cudawheel.process import Finished, stream
from cudawheel.recipe.loading import LoadedRecipe
from cudawheel.recipe.settings import BuildSettings
from cudawheel.recipe.sources import Source
from cudawheel.schedule.budget import Budget, BudgetRequest, measure_budget
from cudawheel.schedule.limits import GIB
from cudawheel.toolchain.toolchain import ToolchainKind
from cudawheel.wheel.rewrite import Changes, rewrite

CONFIGURATION = "cibuildwheel.toml"
_SOURCE, _OUTPUT = "source", "wheels"
# A person's own variables for cibuildwheel would have the last word over the recipe; this one says where, not what.
_OPTIONS, _ENGINE = "CIBW_", "CIBW_CONTAINER_ENGINE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerOrder:
    """What is to be built in containers.

    Attributes:
        sources: of the recipe, tried in order.
        variants: accepted by the plan.
        toolchain: `package`, or `system` for the toolkit that the image has.
        image: a person's own choice, or empty for the one of each CUDA.
        wheelhouse: where finished wheels go.
        cache: where sources are kept, and where is worked.
        allowed: what of the machine may be used.
        environ: the person's environment.
    """

    loaded: LoadedRecipe
    sources: tuple[Source, ...]
    variants: tuple[Variant, ...]
    toolchain: ToolchainKind
    image: str = ""
    wheelhouse: Path
    cache: Path
    allowed: BudgetRequest = field(default_factory=BudgetRequest)
    environ: Mapping[str, str]

    def runs(self) -> tuple[ContainerRun, ...]:
        """Give one run of cibuildwheel for each torch.

        Raises:
            ContainerImageError: no image is known for one of them.
        """
        return tuple(
            ContainerRun(name=name, variants=variants, image=self.image or self._image(next(iter(variants.values()))))
            for name, variants in group(self.variants)
        )

    def _image(self, variant: Variant) -> str:
        return image_for(variant.cuda, variant.machine, self.toolchain)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerAttempt:
    """What became of one run.

    Attributes:
        name: `torch2.13-cu130`.
        identifiers: of the plan's cells that it was for.
        image: what it ran in.
        result: the finished wheels, or the error that stood in the way.
        seconds: wall time.
    """

    name: str
    identifiers: tuple[str, ...]
    image: str
    result: tuple[Path, ...] | CudawheelError
    seconds: float


def build_in_containers(order: ContainerOrder, progress: Progress) -> tuple[ContainerAttempt, ...]:
    """Build variants in containers, one run after the other; one that fails stops no other.

    Wheels go into the wheelhouse alone: how a container came to its packages cannot be said as exactly as the store
    wants it.

    Raises:
        ContainerEngineError: there is no engine, or none answers.
        ExtraMissingError: cibuildwheel is not installed.
        ContainerImageError: no image is known for a variant.
        SourceUnreachableError: no source can be had.
        SourceHashError: a source is not what the recipe pinned.
    """
    runs = order.runs()
    # What cannot be had by pip comes first: nobody wants to install cibuildwheel only to hear that it is of no use.
    find_engine(order.environ)
    require_cibuildwheel()
    index = package_index(order.environ)
    fetched = fetch(order.loaded, order.sources, order.cache / "sources", progress, index_url=index)
    return tuple(_attempt(order, run, fetched, progress) for run in runs)


def require_cibuildwheel() -> None:
    """Let pass where cibuildwheel can be run by this Python.

    Raises:
        ExtraMissingError: it cannot.
    """
    if find_spec("cibuildwheel") is None:
        raise ExtraMissingError(
            "builds in containers need cibuildwheel, which is not installed",
            why=f"{sys.executable} finds no module `cibuildwheel`",
            extra="container",
        )


def _attempt(order: ContainerOrder, run: ContainerRun, fetched: FetchedSource, progress: Progress) -> ContainerAttempt:
    start = time.monotonic()
    result: tuple[Path, ...] | CudawheelError
    try:
        with prepared(order, run, fetched) as place:
            progress.phase("container", f"{run.name} in {run.image}")
            wheels = _run(order, run, place, progress)
            result = tuple(_finish(order, run, fetched, wheel, progress) for wheel in wheels)
    except CudawheelError as error:
        progress.note(f"{run.name} failed: {error.what}")
        result = error
    return ContainerAttempt(
        name=run.name,
        identifiers=tuple(variant.identifier for variant in run.variants.values()),
        image=run.image,
        result=result,
        seconds=time.monotonic() - start,
    )


@contextmanager
def prepared(order: ContainerOrder, run: ContainerRun, fetched: FetchedSource) -> Iterator[Path]:
    """Lay out a folder that cibuildwheel can be started in: the source, its options, and what is installed for it.

    Raises:
        SourceUnsafeError: the archive would write outside, or cannot be read.
        PatchError: a patch or replacement does not apply.
        BuildError: the source is not a project that can be built.
        DiskFullError: there is no room.
    """
    settings = order.loaded.recipe.settings_for(fetched.source)
    with disk_errors(order.cache):
        work = order.cache / "work"
        work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=work, prefix="container-") as name, disk_errors(order.cache):
        place = Path(name)
        project = lay_out(fetched, order.loaded, settings, place / _SOURCE)
        _write_requirements(order, run, settings, project, place / BESIDE)
        jobs = jobs_for(measure_budget(order.allowed), settings)
        options = options_for(order.loaded.recipe, settings, run, toolchain=order.toolchain, jobs=jobs)
        (place / CONFIGURATION).write_text(to_toml(options), encoding="utf-8")
        yield place


def jobs_for(budget: Budget, settings: BuildSettings) -> int:
    """Say how many compilers may run at once where no jobserver watches over them: so many as fit at their worst."""
    return max(1, min(budget.slots, budget.memory // int(settings.memory_per_job * GIB)))


def _write_requirements(
    order: ContainerOrder, run: ContainerRun, settings: BuildSettings, project: Path, beside: Path
) -> None:
    beside.mkdir()
    own = own_wheel(order.cache / "own")
    (beside / own.name).write_bytes(own.read_bytes())
    wanted = build_requires(
        static_requires(project),
        settings,
        run.first,
        order.toolchain,
        order.cache / "own",
        cuda_libraries=order.loaded.recipe.wheel.cuda_libraries,
    )
    check = order.loaded.recipe.wheel.check
    if check is not None:
        (beside / CHECK).write_bytes((order.loaded.folder / check).read_bytes())
    # cibuildwheel copies the folder that it is started in to /project.
    lines = [f"cudawheel @ file:///project/{BESIDE}/{own.name}" if _is_own(text) else text for text in wanted]
    # setuptools before 70.1 leaves it to be asked for by its hook, which is not called without isolation.
    (beside / REQUIREMENTS).write_text("".join(f"{line}\n" for line in dict.fromkeys([*lines, "wheel"])))
    if settings.overrides:
        (beside / OVERRIDES).write_text("".join(f"{line}\n" for line in settings.overrides))


def _is_own(requirement: str) -> bool:
    return (Requirement(requirement).url or "").startswith("file:")


def command(place: Path, *, list_only: bool = False) -> list[str | Path]:
    """Give the command that runs cibuildwheel in a prepared folder, or lets it only name what it would build."""
    words: list[str | Path] = [sys.executable, "-m", "cibuildwheel", "--platform", "linux"]
    words += ["--config-file", place / CONFIGURATION, "--output-dir", place / _OUTPUT]
    return [*words, *(["--print-build-identifiers"] if list_only else []), place / _SOURCE]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Give what cibuildwheel may see of a person's environment: of its own options only the choice of an engine."""
    return {name: value for name, value in environ.items() if not name.startswith(_OPTIONS) or name == _ENGINE}


def _run(order: ContainerOrder, run: ContainerRun, place: Path, progress: Progress) -> tuple[Path, ...]:
    log = order.cache / "logs" / f"{order.loaded.recipe.package.name}-{run.name}-container.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    done: Finished = stream(
        command(place), log=log, env=environment(order.environ), cwd=place, on_line=lambda line: _hear(line, progress)
    )
    wheels = tuple(sorted((place / _OUTPUT).glob("*.whl")))
    if not done.ok or not wheels:
        what = f"cibuildwheel did not build {run.name}"
        output = log.read_text(encoding="utf-8", errors="replace")
        raise diagnose(what, output=output, tail=done.output.splitlines()[-15:], log=log)
    return wheels


def _hear(line: str, progress: Progress) -> None:
    """Pass on what cibuildwheel says of its own steps, such as `Building wheel...`."""
    if line.endswith("...") and not line.startswith(" "):
        progress.phase("container", line.removesuffix("..."))


def _finish(order: ContainerOrder, run: ContainerRun, fetched: FetchedSource, wheel: Path, progress: Progress) -> Path:
    """Name a repaired wheel, audit it and put it into the wheelhouse with a note of where it comes from."""
    recipe, variant = order.loaded.recipe, _variant_of(run, wheel)
    settings = recipe.settings_for(fetched.source)
    fallback = fetched.source.label if recipe.is_fallback(fetched.source) else ""
    origin = {
        "recipe": order.loaded.path.name,
        "source": fetched.source.label,
        "source_identity": fetched.identity,
        "fallback": bool(fallback),
        "variant": variant.identifier,
        "capabilities": [str(gencode) for gencode in variant.capabilities.gencodes()],
        "container": run.image,
    }
    text = (json.dumps(origin, indent=2, sort_keys=True) + "\n").encode()
    changes = Changes(
        local_version=local_version(cuda=variant.cuda, torch=variant.torch, abi=variant.abi, fallback=fallback),
        requirements=wheel_requirements(recipe, variant),
        files={"cudawheel.json": text},
    )
    folder = wheel.parent / "finished"
    folder.mkdir(exist_ok=True)
    finished = rewrite(wheel, folder, changes)
    progress.phase("audit", finished.name)
    expectation = Expectation(
        torch=variant.torch,
        abi=variant.abi,
        capabilities=variant.capabilities,
        cuda_required=settings.cuda == "required",
        allowed_libraries=recipe.wheel.external_libraries,
    )
    audit(finished, expectation).require_ok()
    with disk_errors(order.wheelhouse):
        order.wheelhouse.mkdir(parents=True, exist_ok=True)
        write_atomically(order.wheelhouse / finished.name, finished.read_bytes())
    return order.wheelhouse / finished.name


def _variant_of(run: ContainerRun, wheel: Path) -> Variant:
    """Find the variant that a wheel was built for by its interpreter tag; the first where it is for every Python."""
    tags = wheel.name.split("-")[-3].split(".")
    return next((variant for variant in run.variants.values() if variant.python.tag in tags), run.first)
