"""From the wheel that a backend made to one that is named, tagged, pinned and proven."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import parse_wheel_filename

from cudawheel.audit.expectation import Expectation
from cudawheel.audit.platform_tag import find_platform_tag
from cudawheel.audit.report import audit
from cudawheel.builder.build import BuiltWheel
from cudawheel.builder.order import BuildOrder, Workplace
from cudawheel.builder.requirements import wheel_requirements
from cudawheel.errors import AuditError
from cudawheel.factory.import_check import find_check, try_in_clean_environment
from cudawheel.factory.materials import compiled_in
from cudawheel.model.progress import Progress
from cudawheel.model.wheel_name import local_version
from cudawheel.wheel import sbom
from cudawheel.wheel.reading import Wheel
from cudawheel.wheel.rewrite import Changes, rewrite


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A wheel under its final name, and what was found of it, as a build record says it."""

    wheel: Path
    findings: dict[str, Any]


def prove(order: BuildOrder, built: BuiltWheel, place: Workplace, progress: Progress) -> Proof:
    """Name the wheel, audit it and import it.

    Raises:
        WheelError: the backend's wheel cannot be read.
        AuditError: the wheel is not what was planned, or does not import.
        InstallError: the wheel and its requirements do not install together.
    """
    progress.phase("naming")
    _require_named_as_planned(order, built.wheel)
    allowed = order.loaded.recipe.wheel.external_libraries
    platform = find_platform_tag(built.wheel, allowed_libraries=allowed)
    folder = place.work / "proven"
    folder.mkdir()
    wheel = rewrite(built.wheel, folder, _changes(order, built, platform.tag))
    progress.phase("audit")
    expectation = Expectation(
        torch=order.variant.torch,
        abi=order.variant.abi,
        capabilities=order.variant.capabilities,
        cuda_required=order.settings.cuda == "required",
        allowed_libraries=allowed,
        torch_libraries=_library_folders(built.environment.site_packages),
    )
    report = audit(wheel, expectation)
    report.require_ok()
    progress.phase("import", ", ".join(order.loaded.recipe.wheel.imports))
    trial = try_in_clean_environment(
        wheel,
        order.loaded.recipe.wheel.imports,
        interpreter=built.environment.python,
        torch=built.environment.version_of("torch") if order.variant.torch is not None else "",
        check=find_check(order.loaded),
        log=place.log,
    )
    return Proof(wheel=wheel, findings={**report.to_dict(), **trial.to_json()})


def _require_named_as_planned(order: BuildOrder, wheel: Path) -> None:
    name, version, _, _ = parse_wheel_filename(wheel.name)
    planned = order.loaded.recipe.package
    if (name, version.public) != (planned.name, planned.version):
        raise AuditError(
            f"the package calls itself {name} {version}, and the recipe {planned.name} {planned.version}",
            why=f"its backend made {wheel.name}",
            remedy="Correct `package.name` or `package.version` of the recipe, or the source that it names.",
        )


def _changes(order: BuildOrder, built: BuiltWheel, platform: str) -> Changes:
    variant, fetched = order.variant, order.fetched
    origin = {
        "recipe": order.loaded.path.name,
        "source": fetched.source.label,
        "source_identity": fetched.identity,
        "fallback": bool(order.fallback),
        "variant": variant.identifier,
        "capabilities": [str(gencode) for gencode in variant.capabilities.gencodes()],
    }
    local = local_version(cuda=variant.cuda, torch=variant.torch, abi=variant.abi, fallback=order.fallback)
    return Changes(
        local_version=local,
        requirements=wheel_requirements(order.loaded.recipe, variant),
        headers=(("Keywords", f"cudawheel,source-{order.fallback}"),) if order.fallback else (),
        files={
            "cudawheel.json": (json.dumps(origin, indent=2, sort_keys=True) + "\n").encode(),
            sbom.PLACE: _bill(order, built, local),
        },
        platform=platform,
    )


def _bill(order: BuildOrder, built: BuiltWheel, local: str) -> bytes:
    package, tools = order.loaded.recipe.package, built.tools
    return sbom.make_sbom(
        package.name,
        f"{package.version}+{local}",
        (*compiled_in(order, built), *sbom.find_bundled(Wheel.read(built.wheel))),
        (("nvcc", tools.toolchain.release), (tools.compiler.family, tools.compiler.version)),
    )


def _library_folders(site_packages: Path) -> tuple[Path, ...]:
    return tuple(
        folder
        for folder in (site_packages / "torch" / "lib", *sorted(site_packages.glob("nvidia/*/lib")))
        if folder.is_dir()
    )
