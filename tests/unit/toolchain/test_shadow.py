from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from cudawheel import process
from cudawheel.toolchain.environment import search_path
from cudawheel.toolchain.shadow import COMPILER_TOOLS, without_cuda

NewProgram = Callable[[Path, str], Path]


def test_folders_without_a_cuda_compiler_stay_as_they_are(tmp_path: Path, new_program: NewProgram) -> None:
    clean = new_program(tmp_path / "bin" / "git", "#!/bin/sh\n").parent

    assert without_cuda(str(clean), tmp_path / "shadows") == (clean,)
    assert not (tmp_path / "shadows").exists()


def test_each_compiler_tool_is_hidden_and_its_neighbours_are_not(tmp_path: Path, new_program: NewProgram) -> None:
    for tool in (*COMPILER_TOOLS, "git", "g++"):
        new_program(tmp_path / "bin" / tool, f"#!/bin/sh\necho {tool}\n")

    (shadow,) = without_cuda(str(tmp_path / "bin"), tmp_path / "shadows")

    assert sorted(link.name for link in shadow.iterdir()) == ["g++", "git"]
    assert process.capture([shadow / "git"]).output == "git\n"


def test_the_order_is_kept_and_what_cannot_be_searched_is_dropped(tmp_path: Path, new_program: NewProgram) -> None:
    first = new_program(tmp_path / "first" / "git", "").parent
    second = new_program(tmp_path / "second" / "nvcc", "").parent
    third = new_program(tmp_path / "third" / "git", "").parent
    path = f"{first}::relative:{tmp_path}/gone:{second}:{third}:{first}"

    found = without_cuda(path, tmp_path / "shadows")

    assert (found[0], found[2]) == (first, third)
    assert len(found) == 3
    assert found[1].parent == tmp_path / "shadows"


def test_a_shadow_is_made_once_and_anew_when_its_folder_changes(tmp_path: Path, new_program: NewProgram) -> None:
    folder = new_program(tmp_path / "bin" / "nvcc", "").parent
    (before,) = without_cuda(str(folder), tmp_path / "shadows")
    (again,) = without_cuda(str(folder), tmp_path / "shadows")
    new_program(folder / "cmake", "")
    (after,) = without_cuda(str(folder), tmp_path / "shadows")

    assert before == again
    assert [link.name for link in after.iterdir()] == ["cmake"]


def test_nvcc_on_the_users_path_cannot_be_reached_but_the_toolkits_can(
    tree: Path, tmp_path: Path, new_program: NewProgram
) -> None:
    stranger = new_program(tmp_path / "local" / "nvcc", "#!/bin/sh\necho stranger\n").parent
    new_program(stranger / "hello", "#!/bin/sh\necho hello\n")
    base = f"{stranger}:/usr/bin:/bin"
    shadows = tmp_path / "shadows"

    with_toolkit = {"PATH": search_path(base, first=(tree / "bin",), shadows=shadows)}
    without = {"PATH": search_path(base, first=(), shadows=shadows)}

    assert process.capture(["sh", "-c", "nvcc x.cu; hello"], env=with_toolkit).output == f"nvcc of {tree}\nhello\n"
    assert shutil.which("nvcc", path=without["PATH"]) is None
    assert shutil.which("hello", path=without["PATH"]) is not None
