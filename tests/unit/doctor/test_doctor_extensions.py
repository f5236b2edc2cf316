"""The installed world: native, PTX, or no kernel image, and what mends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from machines_of_files import PYTHON, SITE, make_world, write_package

from cudawheel.doctor.diagnoses.extensions import diagnose_extensions
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.machine import Driver, DriverState, Environment, Extension, Gpu, Machine, Memory
from cudawheel.doctor.probes.installed import probe_environment
from cudawheel.doctor.sources import recipes_in, usual_addresses
from cudawheel.model.capability import ComputeCapability

BLACKWELL = Gpu(name="RTX 5070 Ti", capability=ComputeCapability(12, 0))
AMPERE = Gpu(name="RTX 3090", capability=ComputeCapability(8, 6))

Files = Mapping[str, Sequence[str]]


def installed(root: Path, files: Files, *, name: str = "gsplat", everything: bool = False) -> Environment:
    world = make_world(root, {"packages": [{"name": name, "version": "1.0", "files": files}]})
    return probe_environment(world, PYTHON, all_packages=everything)


def judge(environment: Environment, *gpus: Gpu, recipes: Mapping[str, str] | None = None) -> Finding:
    machine = Machine(
        system="",
        processor="x86_64",
        memory=Memory(),
        driver=Driver(state=DriverState.ABSENT),
        environment=environment,
    )
    (finding,) = diagnose_extensions(machine, gpus, recipes=recipes)
    return finding


@pytest.mark.parametrize(
    ("files", "code", "severity"),
    [
        ({"a.so": ("8.0 12.0", "")}, "extension", Severity.GOOD),
        ({"a.so": ("8.0", "8.0")}, "extension-ptx", Severity.WARNING),
        ({"a.so": ("8.0 9.0", "")}, "extension-no-kernel-image", Severity.PROBLEM),
        ({"a.so": ("9.0a", "9.0a")}, "extension-no-kernel-image", Severity.PROBLEM),
        ({"a.so": ("12.0", ""), "hopper.so": ("9.0a", "")}, "extension-partly", Severity.NOTE),
        ({"a.so": ("12.0", ""), "host.so": ("", "")}, "extension", Severity.GOOD),
        ({"host.so": ("", "")}, "no-extensions", Severity.NOTE),
    ],
)
def test_an_extension_is_judged_by_what_it_carries(files: Files, code: str, severity: Severity, tmp_path: Path) -> None:
    finding = judge(installed(tmp_path, files), BLACKWELL)
    assert (finding.code, finding.severity) == (code, severity)


def test_one_gpu_of_two_without_code_is_a_problem_that_names_it(tmp_path: Path) -> None:
    finding = judge(installed(tmp_path, {"a.so": ("12.0", "")}), AMPERE, BLACKWELL)
    assert "RTX 3090 (8.6)" in finding.found
    assert "5070" not in finding.found
    assert 'TORCH_CUDA_ARCH_LIST="8.6;12.0"' in finding.remedy[0]


def test_a_recipe_at_hand_is_what_mends_it(tmp_path: Path) -> None:
    environment = installed(tmp_path, {"flash_attn/a.so": ("8.0", "")}, name="flash_attn")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "fa.toml").write_text('[package]\nname = "Flash-Attn"\n', encoding="utf-8")
    for name, text in {"bad": "[", "list": "package = 3", "none": "x = 1"}.items():
        (tmp_path / "recipes" / f"{name}.toml").write_text(text, encoding="utf-8")
    recipes = recipes_in(tmp_path / "recipes")
    assert list(recipes) == ["flash_attn"]
    (remedy,) = judge(environment, BLACKWELL, recipes=recipes).remedy
    assert remedy == f'cudawheel build {tmp_path}/recipes/fa.toml --capabilities "12.0"'


def test_what_is_released_with_torch_is_not_built_anew(tmp_path: Path) -> None:
    environment = installed(tmp_path, {"torchvision/_C.so": ("8.0", "")}, name="torchvision")
    (remedy,) = judge(environment, BLACKWELL).remedy
    assert "--no-binary" not in remedy


def test_damaged_device_code_is_told_and_not_judged(tmp_path: Path) -> None:
    installed(tmp_path, {"a.so": ("8.0", "")})
    path = tmp_path / SITE.lstrip("/") / "a.so"
    path.write_bytes(path.read_bytes()[:70] + b"\xff" * 40 + path.read_bytes()[110:])
    finding = judge(probe_environment(make_world(tmp_path, {}), PYTHON), BLACKWELL)
    assert finding.code == "extension-unreadable"
    assert "a.so cannot be read" in finding.found


def test_cudas_own_libraries_are_read_when_asked_for_and_told_in_one_line(tmp_path: Path) -> None:
    files: Files = {"nvidia/lib/a.so.13": ("8.0", "8.0")}
    assert installed(tmp_path, files, name="nvidia_one").extensions == ()
    write_package(
        tmp_path / SITE.lstrip("/"), name="nvidia_two", version="1.0", files={"nvidia/lib/b.so": ("12.0", "")}
    )
    environment = installed(tmp_path, files, name="nvidia_one", everything=True)
    good = judge(environment, BLACKWELL)
    assert (good.code, good.severity) == ("cuda-libraries", Severity.GOOD)
    assert "nvidia_one by PTX" in good.found
    bad = judge(environment, Gpu(name="V100", capability=ComputeCapability(7, 0)))
    assert bad.code == "cuda-libraries-no-kernel-image"


@pytest.mark.parametrize(
    ("files", "modules"),
    [
        ({"pkg/_C.cpython-312-x86_64-linux-gnu.so": ("8.0", ""), "pkg/host.so": ("", "")}, ("pkg",)),
        ({"flash_attn_2_cuda.abi3.so": ("8.0", "")}, ("flash_attn_2_cuda",)),
        ({"odd-name.so": ("8.0", "")}, ()),
    ],
)
def test_what_to_import_follows_from_the_files(files: Files, modules: tuple[str, ...], tmp_path: Path) -> None:
    (extension,) = installed(tmp_path, files).extensions
    assert extension.modules == modules


def test_files_outside_of_the_packages_are_left_alone(tmp_path: Path) -> None:
    assert installed(tmp_path, {"../../../evil.so": ("8.0", "")}).extensions == ()


def test_without_a_gpu_only_what_it_carries_is_told() -> None:
    environment = Environment(python=PYTHON, extensions=(Extension(name="a", version="1", fault="a.so is damaged"),))
    assert judge(environment).severity is Severity.WARNING


def test_the_index_that_pip_is_told_to_use_is_the_one_that_is_tried() -> None:
    (_, index), (_, archives) = usual_addresses({"PIP_INDEX_URL": "https://index.test/simple"})
    assert index == "https://index.test/simple"
    assert archives.startswith("https://")
    assert usual_addresses({})[0][1].startswith("https://")
