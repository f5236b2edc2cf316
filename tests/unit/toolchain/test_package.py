from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cudawheel.errors import ToolchainError
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain import package


def test_the_requirement_takes_any_patch_release_that_torch_may_pin() -> None:
    (text,) = package.requirements(CudaVersion(13, 0))
    requirement = Requirement(text)

    assert requirement.name == "cuda-toolkit"
    assert requirement.extras == {"nvcc", "cccl", "crt", "nvvm", "cudart"}
    assert requirement.specifier.contains("13.0.3")
    assert not requirement.specifier.contains("13.2.2")


def test_an_exact_version_can_be_pinned() -> None:
    assert package.requirements(CudaVersion(13, 0), exact="13.0.2") == (
        "cuda-toolkit[nvcc,cccl,crt,nvvm,cudart]==13.0.2",
    )


def test_cuda_12_is_not_to_be_had_and_the_ways_out_are_named() -> None:
    with pytest.raises(ToolchainError, match=r"no nvcc for CUDA 12\.8") as caught:
        package.requirements(CudaVersion(12, 8))

    assert "--toolchain system" in caught.value.remedy
    assert "redist" in caught.value.remedy


def test_an_environment_gives_a_toolkit(tree: Path, tmp_path: Path) -> None:
    toolchain = package.provide(CudaVersion(13, 0), site_packages=tree.parent.parent, home=tmp_path / "cuda")

    assert toolchain.kind == "package"
    assert toolchain.home == tmp_path / "cuda"
    assert toolchain.nvcc == tmp_path / "cuda" / "bin" / "nvcc"
    assert (toolchain.version, toolchain.release) == (CudaVersion(13, 0), "13.0.88")


def test_an_environment_without_nvcc_is_an_error_that_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="holds no nvcc") as caught:
        package.provide(CudaVersion(13, 0), site_packages=tmp_path, home=tmp_path / "cuda")

    assert "cuda-toolkit[nvcc" in caught.value.remedy


def test_another_release_than_the_planned_one_is_an_error(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"nvcc 13\.0, and the plan says CUDA 13\.2"):
        package.provide(CudaVersion(13, 2), site_packages=tree.parent.parent, home=tmp_path / "cuda")
