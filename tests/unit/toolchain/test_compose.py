from __future__ import annotations

import threading
from pathlib import Path

import pytest

from cudawheel.errors import StoreError, ToolchainError
from cudawheel.toolchain.compose import compose, plan_links


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}


def test_a_tree_becomes_a_cuda_home(tree: Path, tmp_path: Path) -> None:
    home = tmp_path / "cuda"

    compose(tree, home)

    assert names(home) == {"bin", "lib", "lib64", "include", "nvvm"}
    assert not (home / "bin").is_symlink()
    assert not (home / "lib64").is_symlink()
    assert (home / "lib").resolve() == home / "lib64"
    assert (home / "bin" / "nvcc").readlink() == tree / "bin" / "nvcc"
    assert (home / "include" / "cuda_runtime.h").is_file()
    assert (home / "nvvm" / "bin" / "cicc").is_file()


def test_versioned_libraries_get_the_name_that_linkers_look_for(tree: Path, tmp_path: Path) -> None:
    for name in ("libnvrtc.so.13", "libnvrtc.so.13.0.88", "libnvrtc.alt.so.13", "libnvperf_host.so"):
        (tree / "lib" / name).touch()

    compose(tree, tmp_path / "cuda")

    lib64 = tmp_path / "cuda" / "lib64"
    assert (lib64 / "libcudart.so").readlink() == tree / "lib" / "libcudart.so.13"
    assert (lib64 / "libnvrtc.so").readlink() == tree / "lib" / "libnvrtc.so.13"
    assert (lib64 / "libnvrtc.alt.so").readlink() == tree / "lib" / "libnvrtc.alt.so.13"
    assert (lib64 / "libnvperf_host.so").readlink() == tree / "lib" / "libnvperf_host.so"


def test_links_hold_where_the_tree_was_named_relatively(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    compose(tree.relative_to(tmp_path), tmp_path / "deep" / "down" / "cuda")

    assert (tmp_path / "deep" / "down" / "cuda" / "bin" / "nvcc").is_file()


def test_composing_again_changes_nothing(tree: Path, tmp_path: Path) -> None:
    home = tmp_path / "cuda"
    compose(tree, home)
    before = home.stat().st_ino

    compose(tree, home)

    assert home.stat().st_ino == before


def test_a_tree_that_has_changed_is_composed_anew(tree: Path, tmp_path: Path) -> None:
    home = tmp_path / "cuda"
    compose(tree, home)
    (tree / "lib" / "libcublas.so.13").touch()
    (tree / "lib" / "libcudart.so.13").rename(tree / "lib" / "libcudart.so.14")

    compose(tree, home)

    assert (home / "lib64" / "libcublas.so").exists()
    assert (home / "lib64" / "libcudart.so").readlink().name == "libcudart.so.14"
    assert names(tmp_path) == {"cuda", "site-packages"}


def test_a_home_whose_links_were_harmed_is_composed_anew(tree: Path, tmp_path: Path) -> None:
    home = tmp_path / "cuda"
    compose(tree, home)
    (home / "bin" / "nvcc").unlink()

    compose(tree, home)

    assert (home / "bin" / "nvcc").is_file()


@pytest.mark.parametrize(
    ("part", "package"),
    [("lib/libcudart_static.a", "cudart"), ("nvvm/bin/cicc", "nvvm"), ("include/cccl/cub/cub.cuh", "cccl")],
)
def test_half_a_toolkit_is_refused_and_leaves_nothing(tree: Path, tmp_path: Path, part: str, package: str) -> None:
    (tree / part).unlink()

    with pytest.raises(ToolchainError, match="not a whole CUDA toolkit") as caught:
        compose(tree, tmp_path / "toolkits" / "cuda")

    assert package in caught.value.why
    assert names(tmp_path / "toolkits") == set()


def test_no_tree_is_no_toolkit(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="bin/nvcc"):
        compose(tmp_path / "absent", tmp_path / "cuda")


def test_what_a_killed_composition_left_is_swept_away(tree: Path, tmp_path: Path) -> None:
    left_over = tmp_path / ".cuda.abc.tmp"
    (left_over / "bin").mkdir(parents=True)

    compose(tree, tmp_path / "cuda")

    assert not left_over.exists()


def test_many_at_once_make_one(tree: Path, tmp_path: Path) -> None:
    threads = [threading.Thread(target=compose, args=(tree, tmp_path / "cuda")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert names(tmp_path) == {"cuda", "site-packages"}
    assert all((tmp_path / "cuda" / name).exists() for name in plan_links(tree))


def test_a_place_that_cannot_be_written_is_named(tree: Path) -> None:
    # sysfs takes no files from anybody, not even from root
    with pytest.raises(StoreError, match="/sys"):
        compose(tree, Path("/sys/cuda"))
