"""A recipe as cibuildwheel's options: cibuildwheel itself reads them, and names the builds that the plan has.

Nothing here runs a container; docs/containers.md says what that leaves untried.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fake_tools import PYTHON, write_program
from listening import Heard
from small_packages import path_source, write_project, write_recipe, write_wheel

from cudawheel.audit.policy import load_policy
from cudawheel.builder.identity import candidates
from cudawheel.builder.sources import FetchedSource
from cudawheel.cli import main
from cudawheel.containers import building
from cudawheel.containers.building import (
    CONFIGURATION,
    ContainerOrder,
    build_in_containers,
    command,
    environment,
    jobs_for,
    prepared,
)
from cudawheel.containers.engine import find_engine
from cudawheel.containers.images import image_for
from cudawheel.containers.options import TOOLKIT_REQUIRES, ContainerRun, to_toml
from cudawheel.containers.toolkit import FOLDER
from cudawheel.errors import AuditError, BuildError, ContainerEngineError, ContainerImageError, ExtraMissingError
from cudawheel.model.version import CudaVersion
from cudawheel.plan.plan import Machine, Plan, Selection, make_plan
from cudawheel.recipe.loading import load_recipe
from cudawheel.schedule.budget import Budget
from cudawheel.schedule.limits import GIB
from cudawheel.toolchain.toolchain import ToolchainKind

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="cibuildwheel needs Python 3.11")

BUILD = """requires = ["setuptools>=77", "wheel"]
environment = { FORCE_CUDA = "1", NVCC_FLAGS = '-DNAME="a $HOME `x` b" -DBACK=\\\\' }
config-settings = { "cmake.define.A" = "1;2", "args" = ["--one", "--two words"] }
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    write_project(tmp_path / "recipes" / "here", requires=["setuptools", "cmake>=3.20"])
    path = write_recipe(tmp_path / "recipes", path_source("here"), build=BUILD)
    text = re.sub(r'python = \["3\.\d+"\]', 'python = ["3.12", "3.10"]', path.read_text())
    path.write_text(
        text.replace('["2.11"]', '["2.11", "2.15"]').replace(
            "[wheel]\n", '[wheel]\nexternal-libraries = ["libx y.so.*"]\n'
        )
    )
    return path


def plan_of(recipe: Path, toolchain: ToolchainKind) -> Plan:
    loaded = load_recipe(recipe)
    settings = loaded.recipe.settings_for(candidates(loaded, None)[0])
    selection = Selection(toolchain=toolchain)
    return make_plan(loaded.recipe, settings, selection, Machine(machine="x86_64", python=PYTHON))


def order_of(recipe: Path, tmp_path: Path, toolchain: ToolchainKind = "package", **changes: Any) -> ContainerOrder:
    loaded = load_recipe(recipe)
    facts: dict[str, Any] = {
        "loaded": loaded,
        "sources": candidates(loaded, None),
        "variants": plan_of(recipe, toolchain).variants,
        "toolchain": toolchain,
        "wheelhouse": tmp_path / "wheelhouse",
        "cache": tmp_path / "cache",
        "environ": {"PATH": ""},
    }
    return ContainerOrder(**{**facts, **changes})


def fetched(order: ContainerOrder) -> FetchedSource:
    return FetchedSource(source=order.sources[0], location=order.loaded.folder / "here", identity="0" * 64)


def parsed(place: Path, identifier: str) -> Any:
    """Have cibuildwheel read the options of a prepared folder, as it does before it builds."""
    from cibuildwheel.options import CommandLineArguments, compute_options  # noqa: PLC0415 - needs Python 3.11

    arguments = CommandLineArguments.defaults()
    arguments.platform = "linux"
    arguments.config_file = str(place / CONFIGURATION)
    arguments.package_dir = place / "source"
    return compute_options("linux", arguments, env={}).build_options(identifier)


def test_cibuildwheel_names_the_builds_that_the_plan_has(recipe: Path, tmp_path: Path) -> None:
    order = order_of(recipe, tmp_path)
    listed = []
    for run in order.runs():
        with prepared(order, run, fetched(order)) as place:
            done = subprocess.run(
                command(place, list_only=True), cwd=place, capture_output=True, text=True, timeout=120, check=False
            )
        assert done.returncode == 0, done.stdout + done.stderr
        listed += [run.variants[name].identifier for name in done.stdout.split()]
    # cibuildwheel has an order of its own.
    planned = [cell.identifier for cell in plan_of(recipe, "package").cells if cell.accepted]
    assert sorted(listed) == sorted(planned)
    assert len(listed) == len(set(listed)) == 4


@pytest.mark.parametrize("toolchain", ["package", "system"])
def test_cibuildwheel_reads_what_the_recipe_says(toolchain: ToolchainKind, recipe: Path, tmp_path: Path) -> None:
    order = order_of(recipe, tmp_path, toolchain, image="example.org/manylinux:1")
    first, _second = order.runs()
    with prepared(order, first, fetched(order)) as place:
        options = parsed(place, "cp312-manylinux_x86_64")
        requirements = (place / "cudawheel" / "requirements.txt").read_text().splitlines()
        own = [path.name for path in (place / "cudawheel").glob("*.whl")]
    assert options.manylinux_images["x86_64"] == "example.org/manylinux:1"
    assert options.build_frontend.name == "build"
    assert "--no-isolation" in options.build_frontend.args
    assert options.test_requires == ["torch==2.11.*"]
    assert options.test_command == 'python -c "import torch; import tiny_ext"'
    assert {"setuptools", "cmake>=3.20", "setuptools>=77", "torch==2.11.*"} < set(requirements)
    assert (("cuda-toolkit" in str(requirements)), ("containers.toolkit 13.0" in options.before_build)) == (
        (True, True) if toolchain == "package" else (False, False)
    )
    assert [name.split("-")[0] for name in own] == ["cudawheel"]
    settings = options.config_settings
    assert "cmake.define.A" in settings
    assert "--two words" in settings


def test_the_check_of_a_recipe_computes_in_the_container_too(recipe: Path, tmp_path: Path) -> None:
    recipe.with_name("sums.py").write_text("import sys; sys.exit(77)\n")
    recipe.write_text(recipe.read_text().replace("[wheel]\n", '[wheel]\ncheck = "sums.py"\n'))
    order = order_of(recipe, tmp_path)
    with prepared(order, order.runs()[0], fetched(order)) as place:
        tests = parsed(place, "cp312-manylinux_x86_64").test_command
        commands = tests.replace("{project}", str(place)).split(" && ")
        codes = []
        for code in (0, 77, 1):
            (place / "cudawheel" / "check.py").write_text(f"import sys; sys.exit({code})\n")
            codes.append(subprocess.run(["/bin/sh", "-c", commands[-1]], timeout=60, check=False).returncode)
    assert "import torch; import tiny_ext" in commands[0]
    assert codes == [0, 0, 1]


WITHOUT_TORCH = """[package]
name = "tiny-ext"
version = "1.0"

[[sources]]
kind = "path"
label = "here"
path = "here"

[matrix]
python = ["3.12"]
cuda = ["13.0"]

[build]
capability-list = "cmake"

[wheel]
imports = ["tiny_ext"]
cuda-libraries = ["cublas"]
"""


def test_a_package_without_torch_is_built_and_tried_without_it(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(WITHOUT_TORCH)
    order = order_of(recipe, tmp_path)
    (run,) = order.runs()
    assert run.name == "cu130"
    with prepared(order, run, fetched(order)) as place:
        options = parsed(place, "cp312-manylinux_x86_64")
        requirements = (place / "cudawheel" / "requirements.txt").read_text()
    assert options.test_command == 'python -c "import tiny_ext"'
    assert "cublas" in str(options.test_requires)
    assert "torch" not in f"{options.test_requires} {requirements}"
    assert "CMAKE_PREFIX_PATH" not in str(options.environment)


def test_variables_arrive_as_the_recipe_has_them(recipe: Path, tmp_path: Path) -> None:
    order = order_of(recipe, tmp_path)
    ran: list[Sequence[str]] = []

    def run(words: Sequence[str], _environment: object) -> str:
        ran.append(words)
        return "/opt/python/cp312\n" if "sys.prefix" in words[-1] else "/opt/python/cp312/lib/site\n"

    with prepared(order, order.runs()[0], fetched(order)) as place:
        there = parsed(place, "cp310-manylinux_x86_64").environment.as_dictionary({"PATH": "/usr/bin"}, executor=run)
    assert there["FORCE_CUDA"] == "1"
    assert there["NVCC_FLAGS"] == order.loaded.recipe.build.environment["NVCC_FLAGS"]
    assert there["TORCH_CUDA_ARCH_LIST"] == "8.0;9.0+PTX"
    assert there["CUDA_HOME"] == f"/opt/python/cp312/{FOLDER}"
    assert there["PATH"] == f"/opt/python/cp312/{FOLDER}/bin:/usr/bin"
    assert there["CMAKE_PREFIX_PATH"] == "/opt/python/cp312/lib/site/torch/share/cmake"
    assert int(there["MAX_JOBS"]) >= 1
    assert {tuple(words)[:2] for words in ran} == {("python", "-c")}


def test_what_others_bring_is_left_outside_by_the_repair(recipe: Path, tmp_path: Path) -> None:
    order = order_of(recipe, tmp_path)
    with prepared(order, order.runs()[0], fetched(order)) as place:
        repair = parsed(place, "cp312-manylinux_x86_64").repair_command
    shown = subprocess.run(
        ["/bin/sh", "-c", f"printf '%s\\n' {repair.format(dest_dir='/out', wheel='/a.whl')}"],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    ).stdout.splitlines()
    assert shown[:4] == ["auditwheel", "repair", "-w", "/out"]
    assert shown[-1] == "/a.whl"
    patterns = {word.removeprefix("--exclude=") for word in shown[4:-1]}
    assert patterns == {*load_policy().runtime_patterns, "libx y.so.*"}


def test_the_auditwheel_of_the_images_knows_the_option() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "auditwheel", "repair", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "--exclude" in done.stdout


def test_equal_options_give_equal_bytes_and_text_is_kept(recipe: Path, tmp_path: Path) -> None:
    import tomllib  # noqa: PLC0415 - needs Python 3.11

    odd = {"a": 'x"\\\n\t\x7fü', "b": ["1", 2, True], "c": {"k.v": "w", "n": ["z"]}}
    assert tomllib.loads(to_toml(odd)) == {"tool": {"cibuildwheel": odd}}
    order = order_of(recipe, tmp_path)
    texts = []
    for _ in range(2):
        with prepared(order, order.runs()[0], fetched(order)) as place:
            texts.append((place / CONFIGURATION).read_bytes())
    assert texts[0] == texts[1]
    assert list((order.cache / "work").iterdir()) == []


@pytest.mark.parametrize("name", ["chamferdist", "torchmcubes"])
def test_our_own_recipes_become_runs_with_an_image_of_their_cuda(name: str, tmp_path: Path) -> None:
    order = order_of(Path(__file__).parents[3] / "recipes" / f"{name}.toml", tmp_path)
    assert [run.name for run in order.runs()] == [
        *(f"torch2.{minor}-cu130" for minor in range(11, 15)),
        "torch2.15-cu132",
    ]
    assert all("manylinux" in run.image and run.image.count("cuda13") == 1 for run in order.runs())
    assert sum(len(run.variants) for run in order.runs()) == len(order.variants)


@pytest.mark.parametrize(
    ("cuda", "machine", "toolchain", "said"),
    [
        ((13, 0), "ppc64le", "package", "ppc64le"),
        ((13, 0), "x86_64", "redist", "--toolchain redist"),
        ((13, 0), "x86_64", "system", "CUDA 13.0"),
        ((11, 8), "x86_64", "package", "CUDA 11.8"),
    ],
)
def test_without_a_known_image_one_has_to_be_named(
    cuda: tuple[int, int], machine: str, toolchain: ToolchainKind, said: str
) -> None:
    with pytest.raises(ContainerImageError, match=re.escape(said)) as caught:
        image_for(CudaVersion(*cuda), machine, toolchain)
    assert "--image" in caught.value.remedy


def test_the_image_has_exactly_the_cuda_where_its_own_toolkit_is_used() -> None:
    assert "cuda13_1" in image_for(CudaVersion(13, 1), "aarch64", "system")
    assert "aarch64" in image_for(CudaVersion(13, 0), "aarch64", "package")
    assert "cuda12_9" in image_for(CudaVersion(12, 8), "x86_64", "package")


def test_jobs_are_as_many_as_fit_at_their_worst(recipe: Path) -> None:
    settings = load_recipe(recipe).recipe.build
    budget = Budget(memory=GIB, reserve=0, cores=16, slots=18, limited_by="a test")
    assert jobs_for(budget, settings) == 10
    assert jobs_for(replace(budget, slots=4), settings) == 4
    assert jobs_for(replace(budget, memory=0), settings) == 1


def test_a_person_s_own_options_do_not_overrule_the_recipe() -> None:
    given = {"CIBW_BUILD": "*", "CIBW_CONTAINER_ENGINE": "podman", "HOME": "/h", "CIBW_BEFORE_ALL": "x"}
    assert environment(given) == {"CIBW_CONTAINER_ENGINE": "podman", "HOME": "/h"}


@pytest.mark.parametrize(
    ("programs", "named", "expected"),
    [
        ({"docker": 0, "podman": 0}, "", "docker"),
        ({"docker": 1, "podman": 0}, "", "podman"),
        ({"docker": 0, "podman": 0}, "podman; create_args: --gpus all", "podman"),
    ],
)
def test_the_engine_is_the_first_that_answers(
    programs: dict[str, int], named: str, expected: str, tmp_path: Path
) -> None:
    for program, code in programs.items():
        write_program(tmp_path / program, f"#!/bin/sh\nexit {code}\n")
    assert find_engine({"PATH": str(tmp_path), "CIBW_CONTAINER_ENGINE": named}) == expected


@pytest.mark.parametrize("named", ["", "podman"])
def test_without_an_engine_that_answers_it_is_said_which_were_tried(named: str, tmp_path: Path) -> None:
    write_program(tmp_path / "docker", "#!/bin/sh\necho 'no daemon at /run/x'\nexit 1\n")
    with pytest.raises(ContainerEngineError) as caught:
        find_engine({"PATH": str(tmp_path), "CIBW_CONTAINER_ENGINE": named})
    tried = "podman: not installed" if named else "docker: no daemon at /run/x\npodman: not installed"
    assert caught.value.why == tried


def test_a_build_without_an_engine_ends_with_a_code_of_its_own_and_touches_nothing(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CIBW_CONTAINER_ENGINE", raising=False)
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    words = ["build", recipe, "--container", "--cache", tmp_path / "cache", "--wheelhouse", tmp_path / "house"]
    monkeypatch.setattr(sys, "argv", ["cudawheel", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == ContainerEngineError.exit_code
    said = capsys.readouterr()
    assert "docker: not installed" in said.err
    assert "without --container" in said.err
    assert not (tmp_path / "house").exists()


# An engine that answers, and a cibuildwheel that leaves what it is told to.
FAKE = """
import pathlib, shutil, sys
out = pathlib.Path(sys.argv[sys.argv.index("--output-dir") + 1])
assert pathlib.Path(sys.argv[sys.argv.index("--config-file") + 1]).is_file()
assert pathlib.Path.cwd().joinpath("source", "pyproject.toml").is_file()
print("Building wheel...")
if {fails}:
    print("fatal error: torch/extension.h: No such file or directory")
    sys.exit(1)
out.mkdir()
shutil.copy({wheel!r}, out)
"""


@pytest.fixture
def order(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContainerOrder:
    write_program(tmp_path / "bin" / "docker", "#!/bin/sh\nexit 0\n")
    del monkeypatch
    return order_of(recipe, tmp_path, environ={"PATH": str(tmp_path / "bin")})


def test_without_cibuildwheel_the_extra_is_named(order: ContainerOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "find_spec", lambda _name: None)
    with pytest.raises(ExtraMissingError) as caught:
        build_in_containers(order, Heard())
    assert "[container]" in caught.value.remedy


def test_an_engine_is_looked_for_before_anything_is_asked_to_be_installed(
    order: ContainerOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "find_spec", lambda _name: None)
    with pytest.raises(ContainerEngineError):
        build_in_containers(replace(order, environ={"PATH": str(tmp_path / "nothing")}), Heard())


def pretend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, fails: bool = False) -> None:
    wheel = write_wheel(tmp_path / "made", "tiny-ext", "1.0")
    (tmp_path / "pretend.py").write_text(FAKE.format(fails=fails, wheel=str(wheel)))
    real = building.command

    def other(place: Path) -> list[str | Path]:
        return [sys.executable, tmp_path / "pretend.py", *real(place)[3:]]

    monkeypatch.setattr(building, "command", other)


def test_what_comes_out_is_named_audited_and_put_into_the_wheelhouse(
    order: ContainerOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, tmp_path)
    heard = Heard()
    first, second = build_in_containers(order, heard)
    assert isinstance(first.result, tuple)
    assert [path.name for path in first.result] == ["tiny_ext-1.0+cu.13.0.torch.2.11-py3-none-any.whl"]
    assert len(first.identifiers) == 2
    assert isinstance(second.result, tuple)
    with zipfile.ZipFile(first.result[0]) as wheel:
        info = "tiny_ext-1.0+cu.13.0.torch.2.11.dist-info"
        assert "Requires-Dist: torch==2.11.*" in wheel.read(f"{info}/METADATA").decode()
        assert "manylinux_cuda" in wheel.read(f"{info}/cudawheel.json").decode()
    assert "audit" in heard.phases
    assert "Building wheel" in heard.details


def test_a_wheel_that_is_not_what_was_planned_does_not_reach_the_wheelhouse(
    order: ContainerOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, tmp_path)
    path = order.loaded.path
    path.write_text(path.read_text().replace('cuda = "optional"', 'cuda = "required"'))
    strict = replace(order, loaded=load_recipe(path))
    assert [type(attempt.result) for attempt in build_in_containers(strict, Heard())] == [AuditError] * 2
    assert not (tmp_path / "wheelhouse").exists()


def test_a_run_that_fails_stops_no_other_and_its_cause_is_named(
    order: ContainerOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, tmp_path, fails=True)
    attempts = build_in_containers(order, Heard())
    assert [type(attempt.result) for attempt in attempts] == [BuildError] * 2
    assert isinstance(attempts[0].result, BuildError)
    assert "torch/extension.h" in attempts[0].result.why
    assert "torch2.11-cu130-container.log" in attempts[0].result.remedy


@pytest.mark.parametrize("fails", [False, True])
def test_the_command_line_says_what_became_of_each_run(
    fails: bool, order: ContainerOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pretend(monkeypatch, tmp_path, fails=fails)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setattr("cudawheel.cli.console.out.width", 250)
    words = ["build", order.loaded.path, "--only", "*-torch2.15-*", "--image", "example.org/x:1"]
    words += ["--cache", tmp_path / "cache", "--wheelhouse", tmp_path / "wheelhouse"]

    def call(*more: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["cudawheel", *map(str, words), *more])
        with pytest.raises(SystemExit) as ended:
            main.run()
        return ended.value.code, capsys.readouterr().out

    code, out = call("--json")
    (run,) = json.loads(out)
    assert (code, run["name"], run["image"]) == (BuildError.exit_code if fails else 0, "torch2.15-cu132", words[5])
    assert run["error"]["exit_code"] == 14 if fails else run["wheels"][0].startswith(str(tmp_path / "wheelhouse"))
    code, out = call()
    assert code == (14 if fails else 0)
    assert "cp310-torch2.15-cu132-x86_64" in out
    assert ("did not build" if fails else ".whl") in out


def test_the_toolkit_is_composed_with_what_an_image_has(tmp_path: Path) -> None:
    """Within a container cudawheel is installed without most of what it requires."""
    site = tmp_path / "site"
    site.mkdir()
    for name in ("cudawheel", *(name.replace("-", "_") for name in TOOLKIT_REQUIRES)):
        found = find_spec(name)
        assert found
        assert found.origin
        place = Path(found.origin)
        place = place.parent if place.name == "__init__.py" else place
        (site / place.name).symlink_to(place)
    program = f"import sys; sys.path.insert(0, {str(site)!r}); import cudawheel.containers.toolkit as t; "
    program += "from pathlib import Path; t.main('13.0', Path('/nowhere'), Path('/nowhere'))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert "ToolchainError: the build environment holds no nvcc" in done.stderr, done.stderr


def test_runs_have_torch_cuda_and_capabilities_in_common(recipe: Path, tmp_path: Path) -> None:
    for run in order_of(recipe, tmp_path).runs():
        assert isinstance(run, ContainerRun)
        assert len({(v.torch, v.cuda, v.capabilities) for v in run.variants.values()}) == 1
