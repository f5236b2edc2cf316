"""The bundled port of torchmcubes, from recipe to use."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Cudawheel, make_environment, run
from uv import find_uv_bin

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

RECIPE = ROOT / "recipes" / "torchmcubes.toml"
PLANNED = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheelhouse")


@pytest.fixture(scope="module")
def record(cudawheel: Cudawheel, wheelhouse: Path) -> dict[str, Any]:
    return cudawheel.build(RECIPE, "--source", "bundled", "--wheelhouse", wheelhouse)


@pytest.fixture(scope="module")
def environment(record: dict[str, Any], wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that uv made out of the wheelhouse and a pinned torch."""
    folder = tmp_path_factory.mktemp("user") / "environment"
    pinned = f"torch=={record['variant']['torch']}.*"
    return make_environment(folder, "--find-links", wheelhouse, "torchmcubes", pinned, "numpy", "pytest")


def test_cuobjdump_confirms_every_capability(record: dict[str, Any], tmp_path: Path) -> None:
    oracle = make_environment(tmp_path / "oracle", "nvidia-cuda-cuobjdump")
    (cuobjdump,) = oracle.parents[1].glob("lib/python*/site-packages/nvidia/*/bin/cuobjdump")
    with zipfile.ZipFile(record["path"]) as wheel:
        (member,) = (name for name in wheel.namelist() if name.endswith(".so"))
        library = wheel.extract(member, tmp_path)
    listing = run(cuobjdump, library)
    cubins = set(re.findall(r"Fatbin elf code:\n=+\narch = sm_(\w+)", listing))
    ptx = set(re.findall(r"Fatbin ptx code:\n=+\narch = sm_(\w+)", listing))
    assert cubins == {capability.replace(".", "") for capability in PLANNED}
    assert ptx == {"120"}
    assert record["audit"]["capabilities"] == {"cubins": PLANNED, "ptx": ["12.0"]}


def test_no_nvcc_of_the_machine_is_ever_run(cudawheel: Cudawheel, record: dict[str, Any]) -> None:
    assert record["toolchain"]["kind"] == "package"
    assert not cudawheel.trap.exists()


def test_the_second_build_only_checks(cudawheel: Cudawheel, record: dict[str, Any], wheelhouse: Path) -> None:
    again = cudawheel.build(RECIPE, "--source", "bundled", "--wheelhouse", wheelhouse)
    assert again["cached"]
    assert not record["cached"]
    assert again["built_at"] == record["built_at"]
    assert again["wheel"] == record["wheel"]


def test_building_twice_gives_the_same_bytes(cudawheel: Cudawheel, record: dict[str, Any], tmp_path: Path) -> None:
    again = cudawheel.build(RECIPE, "--source", "bundled", "--no-cache", "--wheelhouse", tmp_path)
    assert not again["cached"]
    assert again["wheel"]["sha256"] == record["wheel"]["sha256"]


def test_the_wheel_says_that_it_comes_from_a_fallback(record: dict[str, Any]) -> None:
    assert "+bundled.cu.13.0.torch.2.9" in record["wheel"]["file"]
    assert record["source"]["fallback"]
    with zipfile.ZipFile(record["path"]) as wheel:
        metadata = next(wheel.read(name).decode() for name in wheel.namelist() if name.endswith("/METADATA"))
    assert "Version: 0.1.0+bundled.cu.13.0.torch.2.9\n" in metadata
    assert "Requires-Dist: torch>=2.9\n" in metadata
    assert "source-bundled" in metadata


def test_the_port_computes_rightly_on_the_cpu(environment: Path, tmp_path: Path) -> None:
    tests = ROOT / "recipes" / "torchmcubes" / "tests"
    options = ("-q", "-p", "no:cacheprovider", "-m", "not gpu", "-c", "/dev/null", f"--rootdir={tests}")
    printed = run(environment, "-m", "pytest", *options, tests, cwd=tmp_path)
    passed = re.search(r"(\d+) passed", printed)
    assert passed
    assert int(passed[1]) > 250  # all 256 cell cases are among them


def test_pip_takes_it_from_the_folder_with_a_pinned_torch(
    record: dict[str, Any], wheelhouse: Path, tmp_path: Path
) -> None:
    pip = make_environment(tmp_path / "pip", "pip")
    wanted = ("torchmcubes", f"torch=={record['variant']['torch']}.0")
    report = run(pip, "-m", "pip", "install", "--dry-run", "--find-links", wheelhouse, *wanted)
    assert "torchmcubes-0.1.0+bundled.cu.13.0.torch.2.9" in report


def test_its_source_installs_without_any_toolkit(
    cudawheel: Cudawheel, record: dict[str, Any], wheelhouse: Path, tmp_path: Path
) -> None:
    """The backend brings nvcc, CMake, ninja and torch; cudawheel itself lies in the wheelhouse."""
    assert record["path"].startswith(str(wheelhouse))
    assert list(wheelhouse.glob("cudawheel-*-py3-none-any.whl"))
    interpreter = make_environment(tmp_path / "environment", "packaging")
    install = (find_uv_bin(), "pip", "install", "--python", interpreter, "--find-links", wheelhouse)
    run(*install, ROOT / "recipes" / "torchmcubes", "numpy", env=cudawheel.environment)
    printed = run(
        interpreter,
        "-c",
        "import torch, torchmcubes; v, f = torchmcubes.marching_cubes(torch.rand(9, 9, 9), 0.5); print(len(f))",
    )
    assert int(printed) > 0
    assert not cudawheel.trap.exists()
