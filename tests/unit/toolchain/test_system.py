from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cudawheel.errors import ToolchainError
from cudawheel.model.version import CudaVersion
from cudawheel.toolchain import system
from cudawheel.toolchain.toolchain import Toolchain

MakeTree = Callable[..., Path]


def find(root: Path, cuda: str = "13.0", **environ: str) -> Toolchain:
    return system.provide(CudaVersion.parse(cuda), environ=environ, root=root)


def test_cuda_home_goes_before_cuda_path_before_path_before_standard_folders(
    tmp_path: Path, new_tree: MakeTree
) -> None:
    homes = {name: new_tree(tmp_path / name) for name in ("home", "path", "on_path", "usr/local/cuda", "opt/cuda")}
    environ = {
        "CUDA_HOME": str(homes["home"]),
        "CUDA_PATH": str(homes["path"]),
        "PATH": f"/nowhere::{homes['on_path'] / 'bin'}",
    }

    found = []
    for variable in (*environ, ""):
        found.append(find(tmp_path, **environ).home)
        environ.pop(variable, None)
    (tmp_path / "usr" / "local" / "cuda" / "bin" / "nvcc").unlink()
    found.append(find(tmp_path).home)

    assert found == list(homes.values())


def test_a_standard_folder_with_the_planned_version_goes_first(tmp_path: Path, new_tree: MakeTree) -> None:
    new_tree(tmp_path / "usr/local/cuda", "13.2")
    exact = new_tree(tmp_path / "usr/local/cuda-13.0")

    assert find(tmp_path).home == exact


def test_the_toolkit_that_fits_is_whole_and_has_no_notes(tmp_path: Path, new_tree: MakeTree) -> None:
    home = new_tree(tmp_path / "cuda")

    toolchain = find(tmp_path, CUDA_HOME=str(home))

    assert (toolchain.kind, toolchain.nvcc, toolchain.notes) == ("system", home / "bin" / "nvcc", ())


def test_another_minor_version_is_taken_with_a_note(tmp_path: Path, new_tree: MakeTree) -> None:
    toolchain = find(tmp_path, "12.9", CUDA_HOME=str(new_tree(tmp_path / "cuda", "12.8")))

    assert toolchain.version == CudaVersion(12, 8)
    assert "12.8" in toolchain.notes[0]
    assert "12.9" in toolchain.notes[0]


def test_when_none_fits_each_is_named_with_its_reason(tmp_path: Path, new_tree: MakeTree) -> None:
    old = new_tree(tmp_path / "old", "12.8")
    half = new_tree(tmp_path / "half")
    (half / "include" / "cuda_runtime.h").unlink()
    locked = new_tree(tmp_path / "usr/local/cuda")
    (locked / "bin" / "nvcc").chmod(0o644)
    environ = {"CUDA_HOME": str(tmp_path / "gone"), "CUDA_PATH": str(old), "PATH": str(half / "bin")}

    with pytest.raises(ToolchainError, match="no CUDA toolkit on this machine fits") as caught:
        find(tmp_path, **environ)

    lines = caught.value.why.splitlines()[1:]
    assert [line.split(": ")[0].strip() for line in lines] == [
        "CUDA_HOME",
        "CUDA_PATH",
        f"PATH ({half}/bin/nvcc)",
        "standard folder",
    ]
    assert "no such file" in lines[0]
    assert "CUDA 12.8; torch was built with 13.0" in lines[1]
    assert "cudart (include/cuda_runtime.h)" in lines[2]
    assert "not executable" in lines[3]
    assert "--toolchain package" in caught.value.remedy


def test_a_machine_without_cuda_says_so(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="nothing was found to try"):
        find(tmp_path, PATH="/nowhere")


def test_one_toolkit_under_two_names_is_examined_once(tmp_path: Path, new_tree: MakeTree) -> None:
    home = new_tree(tmp_path / "usr/local/cuda-12.8", "12.8")
    (tmp_path / "usr/local/cuda").symlink_to(home)

    with pytest.raises(ToolchainError) as caught:
        find(tmp_path, CUDA_HOME=str(home))

    assert len(caught.value.why.splitlines()) == 2
