from __future__ import annotations

from pathlib import Path

import pytest

from cudawheel.model.capability import ComputeCapability
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.environment import build_environment, machine_environment
from cudawheel.toolchain.host_compiler import HostCompiler
from cudawheel.toolchain.toolchain import Toolchain

TOOLCHAIN = Toolchain(
    kind="package",
    home=Path("/kits/cuda"),
    nvcc=Path("/kits/cuda/bin/nvcc"),
    version=CudaVersion(13, 0),
    release="13.0.88",
    gpu_codes=(ComputeCapability(7, 5),),
)
COMPILER = HostCompiler(cxx=Path("/usr/bin/g++"), cc=Path("/usr/bin/gcc"), family="gcc", version="12.2.0")


def environment(base: dict[str, str], extra: dict[str, str] | None = None) -> dict[str, str]:
    return build_environment(base, toolchain=TOOLCHAIN, compiler=COMPILER, path="/kits/cuda/bin", extra=extra)


def test_every_build_tool_is_told_of_the_one_toolkit_and_compiler() -> None:
    made = environment({})

    assert {name for name, value in made.items() if value == "/kits/cuda"} == {
        "CUDA_HOME",
        "CUDA_PATH",
        "CUDAToolkit_ROOT",
    }
    assert made["CUDACXX"] == "/kits/cuda/bin/nvcc"
    assert {name for name, value in made.items() if value == "/usr/bin/g++"} == {"CXX", "CUDAHOSTCXX", "NVCC_CCBIN"}
    assert made["CC"] == "/usr/bin/gcc"
    assert made["PATH"] == "/kits/cuda/bin"


def test_without_a_c_companion_cc_is_left_to_the_build() -> None:
    alone = HostCompiler(cxx=Path("/usr/bin/g++"), cc=None, family="gcc", version="12.2.0")
    assert "CC" not in build_environment({}, toolchain=TOOLCHAIN, compiler=alone, path="")


@pytest.mark.parametrize(
    "name",
    [
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "CPATH",
        "LIBRARY_PATH",
        "CMAKE_PREFIX_PATH",
        "NVCC_APPEND_FLAGS",
        "NVCC_PREPEND_FLAGS",
        "CFLAGS",
        "CXXFLAGS",
        "LDFLAGS",
        "PYTHONPATH",
        "TORCH_CUDA_ARCH_LIST",
        "VIRTUAL_ENV",
        "SECRET_TOKEN",
    ],
)
def test_what_would_change_a_build_unseen_stays_outside(name: str) -> None:
    assert name not in environment({name: "x"})


@pytest.mark.parametrize(
    "name",
    [
        "HOME",
        "LANG",
        "LC_ALL",
        "TMPDIR",
        "https_proxy",
        "SSL_CERT_FILE",
        "PIP_INDEX_URL",
        "UV_INDEX_INTERNAL_PASSWORD",
        "UV_DEFAULT_INDEX",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_KEY_0",
    ],
)
def test_what_a_build_needs_to_reach_the_world_passes(name: str) -> None:
    assert environment({name: "x"})[name] == "x"


def test_the_users_toolkit_and_date_are_overruled_and_the_recipe_has_the_last_word() -> None:
    base = {"CUDA_HOME": "/usr/local/cuda", "CXX": "icpc", "SOURCE_DATE_EPOCH": "7", "PATH": "/usr/local/bin"}

    assert environment(base) == environment({})
    assert environment(base, {"MAX_JOBS": "2"})["MAX_JOBS"] == "2"
    assert environment(base, {"SOURCE_DATE_EPOCH": "9"})["SOURCE_DATE_EPOCH"] == "9"


def test_the_machines_environment_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDAWHEEL_TEST", "1")
    found = machine_environment()
    monkeypatch.delenv("CUDAWHEEL_TEST")

    assert found["CUDAWHEEL_TEST"] == "1"
