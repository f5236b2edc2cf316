"""A toolkit composed out of the package index compiles, links, and is the one that CMake finds."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from uv import find_uv_bin

from cudawheel import process
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.compiler_limits import compiler_limits
from cudawheel.toolchain.environment import build_environment, machine_environment, search_path
from cudawheel.toolchain.host_compiler import HostCompiler, find_host_compiler
from cudawheel.toolchain.package import requirements
from cudawheel.toolchain.provide import ToolchainRequest, provide
from cudawheel.toolchain.toolchain import Toolchain

pytestmark = pytest.mark.integration

CUDA = CudaVersion(13, 0)

KERNEL = """
__global__ void fill(int *out) { out[threadIdx.x] = threadIdx.x; }
extern "C" int run(int *out) { fill<<<1, 32>>>(out); return cudaGetLastError(); }
"""

# CCCL lies in a folder of its own since CUDA 13, and is what most extensions include.
CCCL = "#include <cub/block/block_reduce.cuh>\n"

PROJECT = """
cmake_minimum_required(VERSION 3.26)
project(proof LANGUAGES {languages})
find_package(CUDAToolkit REQUIRED)
get_target_property(runtime CUDA::cudart IMPORTED_LOCATION)
message(STATUS "found [${{CUDAToolkit_BIN_DIR}}] [${{CUDAToolkit_INCLUDE_DIRS}}] [${{runtime}}]")
{rest}
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nvcc, CMake and ninja in it and nothing else."""
    folder = tmp_path_factory.mktemp("environment") / "env"
    packages = (*requirements(CUDA, exact="13.0.2"), "cmake", "ninja")
    for command in (
        ("venv", "--no-project", "--python", sys.executable, folder),
        ("pip", "install", "--python", folder / "bin" / "python", *packages),
    ):
        done = process.capture([find_uv_bin(), *command], timeout=240)
        assert done.ok, done.output
    return folder


@pytest.fixture(scope="module")
def toolchain(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    (site_packages,) = environment.glob("lib/python3.*/site-packages")
    folder = tmp_path_factory.mktemp("toolkits")
    return provide("package", ToolchainRequest(cuda=CUDA, folder=folder, environ={}, site_packages=site_packages))


@pytest.fixture(scope="module")
def compiler(toolchain: Toolchain) -> HostCompiler:
    return find_host_compiler(compiler_limits(CUDA, toolchain.home), machine_environment())


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A folder for PATH whose nvcc must never be run."""
    trap = tmp_path / "stranger" / "nvcc"
    trap.parent.mkdir()
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/trodden\nexit 1\n", encoding="utf-8")
    trap.chmod(0o755)
    return trap.parent


@pytest.fixture
def variables(
    environment: Path, toolchain: Toolchain, compiler: HostCompiler, stranger: Path, tmp_path: Path
) -> Mapping[str, str]:
    base = machine_environment()
    path = search_path(
        f"{stranger}:{base['PATH']}",
        first=(environment / "bin", toolchain.home / "bin"),
        shadows=tmp_path / "shadows",
    )
    return build_environment(base, toolchain=toolchain, compiler=compiler, path=path)


def run(*command: str | Path, env: Mapping[str, str], cwd: Path) -> str:
    done = process.capture(command, env=env, cwd=cwd, timeout=240)
    assert done.ok, done.output
    return done.output


def test_nvcc_is_the_planned_one_and_knows_blackwell(toolchain: Toolchain) -> None:
    assert toolchain.version == CUDA
    assert toolchain.release.startswith("13.0.")
    assert {ComputeCapability(7, 5), ComputeCapability(12, 0)} <= set(toolchain.gpu_codes)


def test_the_toolkits_header_is_read_as_the_table_says(toolchain: Toolchain) -> None:
    header = toolchain.home / "include" / "crt" / "host_config.h"

    assert compiler_limits(CUDA, toolchain.home) == compiler_limits(CUDA)
    # Were NVIDIA to word it differently, the table would answer in the header's place and this would not be seen.
    assert re.search(r"#if\s+__GNUC__\s*>\s*15\b", header.read_text(encoding="utf-8"))
    assert re.search(r"#if\s+\(__clang_major__\s*>=\s*21\)", header.read_text(encoding="utf-8"))


@pytest.mark.parametrize("runtime", ["static", "shared"])
def test_a_shared_object_compiles_and_links(
    toolchain: Toolchain, variables: Mapping[str, str], tmp_path: Path, runtime: str
) -> None:
    (tmp_path / "proof.cu").write_text(CCCL + KERNEL, encoding="utf-8")
    flags = ("-shared", "-Xcompiler", "-fPIC", "-arch=sm_75", f"-cudart={runtime}")

    run("nvcc", *flags, "proof.cu", "-o", "proof.so", env=variables, cwd=tmp_path)

    needed = run("readelf", "-d", "proof.so", env=variables, cwd=tmp_path)
    assert ("libcudart.so.13" in needed) == (runtime == "shared")
    assert shutil.which("nvcc", path=variables["PATH"]) == str(toolchain.nvcc)
    assert not (tmp_path / "trodden").exists()


def test_a_program_links(variables: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "proof.cu").write_text(f"{KERNEL}\nint main() {{ return run(nullptr) < 0; }}\n", encoding="utf-8")
    run("nvcc", "-arch=sm_75", "proof.cu", "-o", "proof", env=variables, cwd=tmp_path)
    run(tmp_path / "proof", env=variables, cwd=tmp_path)


@pytest.mark.parametrize(
    ("languages", "rest"),
    [("CXX", ""), ("CXX CUDA", "add_library(proof SHARED proof.cu)\ntarget_link_libraries(proof CUDA::cudart)")],
)
def test_cmake_finds_this_toolkit_and_no_other(
    toolchain: Toolchain, variables: Mapping[str, str], tmp_path: Path, languages: str, rest: str
) -> None:
    (tmp_path / "proof.cu").write_text(KERNEL, encoding="utf-8")
    project = PROJECT.format(languages=languages, rest=rest)
    (tmp_path / "CMakeLists.txt").write_text(project, encoding="utf-8")
    configure = ("-G", "Ninja", "-S", tmp_path, "-B", tmp_path / "build", "-DCMAKE_CUDA_ARCHITECTURES=75-real")

    said = run("cmake", *configure, env=variables, cwd=tmp_path)
    run("cmake", "--build", tmp_path / "build", env=variables, cwd=tmp_path)

    match = re.search(r"found \[(.*)\] \[(.*)\] \[(.*)\]", said)
    assert match is not None, said
    home = toolchain.home
    assert match[1] == str(home / "bin")
    assert match[2] == f"{home / 'include'};{home / 'include' / 'cccl'}"
    assert Path(match[3]).parent.resolve() == home / "lib64"
    cache = (tmp_path / "build" / "CMakeCache.txt").read_text(encoding="utf-8")
    assert "/usr/local/cuda" not in cache
    assert not (tmp_path / "trodden").exists()
    assert (tmp_path / "build" / "libproof.so").exists() == bool(rest)
