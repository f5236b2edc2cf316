"""What a build does when the machine or the package is not as it should be, on packages that compile in seconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cudawheel

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

WriteRecipe = Callable[..., Path]

# A linker that cannot link CUDA's runtime: what nvcc meets where the toolkit's libraries lie elsewhere.
BROKEN_LINKER = """#!/bin/sh
for argument in "$@"; do
  case "$argument" in
    *cudart*|*cudadevrt*) echo "ld: cannot find -lcudart_static" >&2; exit 1 ;;
  esac
done
exec {compiler} "$@"
"""


@pytest.fixture
def broken_linker(tmp_path: Path) -> Path:
    compiler = shutil.which("g++")
    assert compiler
    program = tmp_path / "g++"
    program.write_text(BROKEN_LINKER.format(compiler=compiler))
    program.chmod(0o755)
    return program


def test_a_kernel_without_torch_is_built_and_proven(
    cudawheel: Cudawheel, recipe_of: WriteRecipe, tmp_path: Path
) -> None:
    record = cudawheel.build(recipe_of("tiny_cuda"), "--wheelhouse", tmp_path / "wheelhouse")
    assert record["audit"]["capabilities"] == {"cubins": ["8.0", "12.0"], "ptx": ["12.0"]}
    assert record["audit"]["violations"] == []
    assert record["build"]["peak_memory"] > 50e6
    inspected = cudawheel("inspect", record["path"], "--gpu", "RTX 5070 Ti")
    assert inspected.code == 0
    assert "runs natively" in inspected.out
    assert cudawheel("inspect", record["path"], "--gpu", "H200").code == 20


def test_a_package_that_goes_on_without_cuda_fails_its_audit(
    cudawheel: Cudawheel, recipe_of: WriteRecipe, broken_linker: Path, tmp_path: Path
) -> None:
    house = tmp_path / "wheelhouse"
    done = cudawheel("build", recipe_of("silent_cpu"), "--wheelhouse", house, CXX=str(broken_linker))
    assert done.code == 16
    assert "CW102" in done.err
    assert "FORCE_CUDA" in done.err
    assert list(house.glob("*.whl")) == []


def test_the_same_package_passes_where_cuda_links(cudawheel: Cudawheel, recipe_of: WriteRecipe, tmp_path: Path) -> None:
    record = cudawheel.build(recipe_of("silent_cpu"), "--wheelhouse", tmp_path / "wheelhouse")
    assert record["audit"]["capabilities"]["cubins"] == ["8.0", "12.0"]


def test_without_device_code_is_good_enough_where_cuda_is_optional(
    cudawheel: Cudawheel, recipe_of: WriteRecipe, broken_linker: Path, tmp_path: Path
) -> None:
    recipe = recipe_of("silent_cpu", **{"[build]": '[build]\ncuda = "optional"'})
    record = cudawheel.build(recipe, "--wheelhouse", tmp_path / "wheelhouse", CXX=str(broken_linker))
    assert record["audit"]["capabilities"] == {"cubins": [], "ptx": []}


def test_a_package_that_requires_cuda_names_the_cause_when_linking_fails(
    cudawheel: Cudawheel, recipe_of: WriteRecipe, broken_linker: Path, tmp_path: Path
) -> None:
    house = tmp_path / "wheelhouse"
    done = cudawheel("build", recipe_of("tiny_cuda"), "--no-cache", "--wheelhouse", house, CXX=str(broken_linker))
    assert done.code == 14
    assert "cannot find -lcudart_static" in done.err
    assert list(house.glob("*.whl")) == []


def test_a_missing_compiler_is_said_before_anything_is_fetched(
    cudawheel: Cudawheel, recipe_of: WriteRecipe, tmp_path: Path
) -> None:
    done = cudawheel("build", recipe_of("tiny_cuda"), "--wheelhouse", tmp_path / "wheelhouse", PATH=str(tmp_path))
    assert done.code == 12
    assert "apt install g++" in done.err


def test_a_toolkit_of_the_system_is_used_when_asked_for(
    cudawheel: Cudawheel, recipe_of: WriteRecipe, tmp_path: Path
) -> None:
    first = cudawheel.build(recipe_of("tiny_cuda"), "--wheelhouse", tmp_path / "wheelhouse")
    composed = sorted(Path(cudawheel.environment["CUDAWHEEL_CACHE"], "toolkits").glob("cuda-13.0-*"))
    assert composed
    record = cudawheel.build(
        tmp_path / "tiny_cuda.toml", "--toolchain", "system", "--wheelhouse", tmp_path, CUDA_HOME=str(composed[0])
    )
    assert record["toolchain"]["kind"] == "system"
    assert record["toolchain"]["nvcc"] == first["toolchain"]["nvcc"]
