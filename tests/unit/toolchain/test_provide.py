from __future__ import annotations

import platform
from pathlib import Path

import pytest

from cudawheel.errors import ToolchainError
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain.provide import ToolchainRequest, provide, requirements

CUDA = CudaVersion(13, 0)


def test_package_composes_one_toolkit_for_each_environment(tree: Path, tmp_path: Path) -> None:
    site_packages = tree.parent.parent
    another = tmp_path / "another"
    another.symlink_to(site_packages)
    folder = tmp_path / "kits"

    homes = {
        provide("package", ToolchainRequest(cuda=CUDA, folder=folder, environ={}, site_packages=place)).home
        for place in (site_packages, another, site_packages)
    }

    assert len(homes) == 2
    assert all(home.parent == folder and home.name.startswith("cuda-13.0-") for home in homes)


def test_package_wants_an_environment(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="needs a build environment"):
        provide("package", ToolchainRequest(cuda=CUDA, folder=tmp_path, environ={}))


def test_system_looks_at_the_environment_it_is_given(tree: Path, tmp_path: Path) -> None:
    request = ToolchainRequest(cuda=CUDA, folder=tmp_path, environ={"CUDA_HOME": str(tree)})
    assert provide("system", request).home == tree


def test_redist_is_asked_for_this_machine(tmp_path: Path) -> None:
    request = ToolchainRequest(cuda=CUDA, folder=tmp_path, environ={}, machine="vax")
    with pytest.raises(ToolchainError, match=r"CUDA 13\.0"):
        provide("redist", request)
    assert ToolchainRequest(cuda=CUDA, folder=tmp_path, environ={}).machine == platform.machine()


def test_only_package_needs_anything_installed() -> None:
    assert requirements("package", CUDA)[0].startswith("cuda-toolkit[")
    assert requirements("system", CudaVersion(12, 8)) == requirements("redist", CudaVersion(12, 8)) == ()
