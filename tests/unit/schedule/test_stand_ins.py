"""The scripts that stand in front of the compilers, and the toolkit around them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from fake_tools import write_program

from cudawheel.process import Finished, capture
from cudawheel.schedule import launcher
from cudawheel.schedule.stand_ins import StandIns, write_stand_ins

SAY = """#!/bin/sh
echo "$0: $*"
"""
FOLDERS = ["plain", "with a space", 'it\'s "quoted"', "$HOME and `id`", "{braces}", "naïve-\N{SNOWMAN}", "-dash"]


def write_toolkit(home: Path) -> Path:
    for tool in ("nvcc", "ptxas", "nvcc.profile", "crt/link.stub"):
        write_program(home / "bin" / tool, SAY)
    for file in ("include/cuda.h", "lib64/libcudart.so", "nvvm/bin/cicc", "version.json"):
        write_program(home / file, SAY)
    (home / "lib").symlink_to("lib64")
    return home


def write_for(folder: Path, *, cxx: str = "c++", cc: str | None = "cc", path: str = "") -> StandIns:
    """Stand-ins in `compilers` for tools in `toolkit` and `host`."""
    host = {name: write_program(folder / "host" / name, SAY) for name in (cxx, cc) if name}
    return write_stand_ins(
        folder / "compilers",
        cuda_home=write_toolkit(folder / "toolkit"),
        cxx=host[cxx],
        cc=host[cc] if cc else None,
        path=path,
        socket=folder / "nobody",
    )


def files_below(folder: Path) -> set[str]:
    """Everything that a compiler could open below a folder, whether it gets there through a link or not."""
    return {
        os.path.relpath(Path(here, name), folder)
        for here, _, names in os.walk(folder, followlinks=True)
        for name in names
    }


def ask(tool: Path, **environment: str) -> Finished:
    return capture([tool, "--version"], extra_env=environment)


def test_the_toolkit_has_everything_that_the_real_one_has(tmp_path: Path) -> None:
    home = write_for(tmp_path).cuda_home
    assert files_below(home) == files_below(tmp_path / "toolkit")
    same = [name for name in files_below(home) if (home / name).samefile(tmp_path / "toolkit" / name)]
    assert sorted(files_below(home).difference(same)) == ["bin/nvcc"]


def test_what_lies_beside_nvcc_is_found_from_its_folder_as_nvcc_looks_for_it(tmp_path: Path) -> None:
    nvcc = write_for(tmp_path).cuda_home / "bin" / "nvcc"
    for name in (
        "ptxas",
        "nvcc.profile",
        "crt/link.stub",
        "../nvvm/bin/cicc",
        "../include/cuda.h",
        "../lib/libcudart.so",
    ):
        assert (nvcc.parent / name).is_file()
    assert nvcc.resolve() == nvcc


def test_the_real_nvcc_is_called_by_its_own_name_so_that_it_finds_its_own_folder(tmp_path: Path) -> None:
    nvcc = write_for(tmp_path).cuda_home / "bin" / "nvcc"
    assert ask(nvcc).output == f"{tmp_path / 'toolkit/bin/nvcc'}: --version\n"


@pytest.mark.parametrize(
    ("cxx", "cc"), [("c++", "cc"), ("g++", "gcc"), ("x86_64-conda-linux-gnu-g++", "x86_64-conda-linux-gnu-gcc")]
)
def test_host_compilers_keep_their_names_since_builds_go_by_them(cxx: str, cc: str, tmp_path: Path) -> None:
    stand_ins = write_for(tmp_path, cxx=cxx, cc=cc)
    assert stand_ins.cc is not None
    assert (stand_ins.cxx.name, stand_ins.cc.name) == (cxx, cc)
    assert ask(stand_ins.cxx).output == f"{tmp_path / 'host' / cxx}: --version\n"
    assert ask(stand_ins.cc).output == f"{tmp_path / 'host' / cc}: --version\n"


def test_one_program_may_be_both_compilers(tmp_path: Path) -> None:
    stand_ins = write_for(tmp_path, cxx="clang", cc="clang")
    assert stand_ins.cc == stand_ins.cxx
    assert ask(stand_ins.cxx).output == f"{tmp_path / 'host/clang'}: --version\n"


def test_without_a_c_compiler_there_is_no_stand_in_for_one(tmp_path: Path) -> None:
    stand_ins = write_for(tmp_path, cc=None)
    assert stand_ins.cc is None
    assert [path.name for path in stand_ins.cxx.parent.iterdir()] == ["c++"]


def test_a_script_that_goes_by_a_usual_name_waits_its_turn_too(tmp_path: Path) -> None:
    others = {name: write_program(tmp_path / "usr" / "bin" / name, SAY) for name in ("g++", "gcc", "cc", "ld")}
    stand_ins = write_for(tmp_path, cxx="g++", cc="gcc", path=f"/nowhere:{others['cc'].parent}")
    host = stand_ins.cxx.parent
    assert sorted(path.name for path in host.iterdir()) == ["cc", "g++", "gcc"]
    assert ask(host / "cc").output == f"{others['cc']}: --version\n"
    # The compilers of the build are the ones that were chosen for it, whatever else goes by their names.
    assert ask(stand_ins.cxx).output == f"{tmp_path / 'host/g++'}: --version\n"


@pytest.mark.parametrize("name", FOLDERS)
def test_any_path_works(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    stand_ins = write_for(folder)
    for tool, real in ((stand_ins.cuda_home / "bin/nvcc", "toolkit/bin/nvcc"), (stand_ins.cxx, "host/c++")):
        assert ask(tool).output == f"{folder / real}: --version\n"
        waiting = capture([tool, "-c", "a.cu"])
        assert waiting.code == 1
        assert f"cudawheel does not answer at {folder / 'nobody'}" in waiting.output


def test_below_a_compiler_that_holds_a_lease_the_real_one_runs_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    stand_ins = write_for(tmp_path)
    done = capture([stand_ins.cxx, "-c", "a b.cpp", ""], extra_env={launcher.HOLDING: "1"})
    assert (done.code, done.output) == (0, f"{tmp_path / 'host/c++'}: -c a b.cpp \n")


def test_an_earlier_folder_is_replaced_and_what_it_linked_to_is_left_alone(tmp_path: Path) -> None:
    first = write_for(tmp_path, cxx="g++", cc="gcc")
    (first.cuda_home / "left behind").touch()
    before = files_below(tmp_path / "toolkit")
    second = write_for(tmp_path / "elsewhere")
    again = write_stand_ins(
        tmp_path / "compilers",
        cuda_home=tmp_path / "elsewhere" / "toolkit",
        cxx=tmp_path / "elsewhere" / "host" / "c++",
        cc=None,
        path="",
        socket=tmp_path / "nobody",
    )
    assert files_below(tmp_path / "toolkit") == before
    assert files_below(again.cuda_home) == files_below(second.cuda_home)
    assert [path.name for path in again.cxx.parent.iterdir()] == ["c++"]
    assert ask(again.cuda_home / "bin" / "nvcc").output.startswith(f"{tmp_path / 'elsewhere/toolkit/bin/nvcc'}:")
