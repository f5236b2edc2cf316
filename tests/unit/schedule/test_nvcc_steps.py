"""nvcc's steps side by side: what waits for what, and an object and complaints that are the same for any threads.

What is left to nvcc itself is in test_nvcc_steps_left.py.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from fake_compilers import serving
from fake_nvcc import STEPS, FakeNvcc, flags

from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.nvcc_steps import split_dependencies

ONE = ["-c", "a.cu", "-o", "a.o"]


def labels(fake: FakeNvcc, what: str = "start") -> list[str]:
    return [mark.label for mark in fake.marks(what)]


def most_at_once(fake: FakeNvcc) -> int:
    running, most = 0, 0
    for mark in fake.all_marks():
        running += 1 if mark.what == "start" else -1
        most = max(most, running)
    return most


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_every_step_runs_once_and_finds_what_it_reads(threads: int, fake: FakeNvcc) -> None:
    done = fake.compile(threads=threads)
    assert (done.code, done.out, done.err) == (0, b"", b"")
    assert sorted(labels(fake)) == sorted(STEPS)
    assert labels(fake)[-1] == "g++ -c"
    assert all(f"{part}(" in fake.object() for part in STEPS)


def test_the_object_is_the_same_for_any_number_of_threads(fake: FakeNvcc) -> None:
    objects = set()
    for threads in (1, 2, 3, 8):
        assert fake.compile(threads=threads).code == 0
        objects.add(fake.object())
    assert len(objects) == 1


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_as_many_steps_run_at_once_as_there_are_threads(threads: int, fake: FakeNvcc) -> None:
    # Of three capabilities and the host four steps could start at once.
    fake.order({"all": {"crowd": threads}})
    assert fake.compile(*flags(80, 90, 120), *ONE, threads=threads).code == 0
    assert most_at_once(fake) == threads


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ("cudafe++", "cicc compute_80"),
        ("cudafe++", "ptxas sm_90"),
        ("cicc compute_80", "cudafe++"),
        ("cicc compute_90", "cicc compute_80"),
        ("ptxas sm_90", "cicc compute_80"),
        ("fatbinary", "cudafe++"),
        ("nvcc -M", "cudafe++"),
        ("nvcc -M", "cicc compute_90"),
    ],
)
def test_nothing_waits_but_for_what_it_reads(early: str, late: str, fake: FakeNvcc) -> None:
    fake.order({late: {"after start of": [early]}})
    assert fake.compile(*fake.usual("-MD"), threads=8).code == 0
    ended = [mark.label for mark in fake.all_marks() if mark.what == "end"]
    assert {early, late} <= set(ended)


def test_on_one_thread_the_order_is_nvccs_and_cudafe_comes_before_the_passes(fake: FakeNvcc) -> None:
    assert fake.compile(threads=1).code == 0
    assert labels(fake) == [
        "g++ -E",
        "cudafe++",
        "g++ -E compute_80",
        "cicc compute_80",
        "ptxas sm_80",
        "g++ -E compute_90",
        "cicc compute_90",
        "ptxas sm_90",
        "fatbinary",
        "g++ -c",
    ]


def test_the_id_of_a_module_looks_like_nvccs_and_is_there_before_cudafe_starts(fake: FakeNvcc) -> None:
    fake.unit("my kernel.cu")
    fake.order({"g++ -E": {"after end of": ["ptxas sm_80", "ptxas sm_90"]}})
    assert fake.compile(*fake.usual(source="my kernel.cu"), threads=8).code == 0
    assert re.fullmatch(r"_[0-9a-f]{8}_12_my_kernel_cu_[0-9a-f]{8}", fake.module_id())


def test_no_two_objects_have_modules_of_one_id(fake: FakeNvcc) -> None:
    ids = set()
    fake.unit("sub/a.cu")
    commands = [
        fake.usual(),
        fake.usual(output="b.o"),
        fake.usual("-DSECOND"),
        fake.usual(source="sub/a.cu"),
        fake.usual(source="./sub/a.cu", output="c.o"),
    ]
    for command in commands:
        assert fake.compile(*command).code == 0
        ids.add(fake.module_id(command[-1]))
    fake.unit(text="another source")
    assert fake.compile().code == 0
    assert len(ids | {fake.module_id()}) == len(commands) + 1


def test_no_step_is_told_a_number_of_a_process(fake: FakeNvcc) -> None:
    commands = []
    for threads in (1, 8):
        assert fake.compile(threads=threads).code == 0
        commands.append({mark.label: mark.words for mark in fake.marks("start")})
        fake.forget()
    assert commands[0] == commands[1]
    assert "tmpxft_" not in str(commands)


@pytest.mark.parametrize(
    ("more", "file", "content"),
    [
        (["-MD"], "sub/a.x.d", "sub/a.x.o : a.cu /usr/include/stdc-predef.h"),
        (["-MMD"], "sub/a.x.d", "sub/a.x.o : a.cu"),
        (["-MMD", "-MF", "b.d"], "b.d", "sub/a.x.o : a.cu"),
        (["-MF=b.d", "-MT=target", "-MMD"], "b.d", "target : a.cu"),
        (["-MMD", "-MT", "target", "-MF", "b d"], "b d", "target : a.cu"),
        (["-MT", "it's a target", "-MMD", "-MP"], "sub/a.x.d", "it's a target : a.cu +targets"),
        (["--generate-nonsystem-dependencies-with-compile", "--dependency-output=b.d"], "b.d", "sub/a.x.o : a.cu"),
        (["--dependency-target-name", "x", "-MMD", "--dependency-output", "b.d"], "b.d", "x : a.cu"),
        (
            ["--generate-dependencies-with-compile", "--generate-dependency-targets"],
            "sub/a.x.d",
            "sub/a.x.o : a.cu /usr/include/stdc-predef.h +targets",
        ),
    ],
)
def test_dependencies_are_written_beside_the_object(more: list[str], file: str, content: str, fake: FakeNvcc) -> None:
    (fake.project / "sub").mkdir()
    assert fake.compile(*more, *flags(80), "-c", "a.cu", "-o", "sub/a.x.o", threads=2).code == 0
    assert (fake.project / file).read_text(encoding="utf-8") == f"{content}\n"
    written = {path.relative_to(fake.project).as_posix() for path in fake.project.rglob("*") if path.is_file()}
    assert written == {"a.cu", "sub/a.x.o", file}
    assert not any(word.startswith(("-M", "--dep", "--gen")) for word in split_dependencies([*more, *ONE])[0])


def test_without_a_wish_for_dependencies_there_are_none(fake: FakeNvcc) -> None:
    assert split_dependencies(fake.usual()) == (fake.usual(), [])


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("failing", STEPS)
def test_where_a_step_fails_nvcc_would_have_ended_there(failing: str, threads: int, fake: FakeNvcc) -> None:
    said = {label: {"say": f"this is {label}"} for label in STEPS}
    fake.order({**said, failing: {"say": f"this is {failing}", "exit": 3}})
    done = fake.compile(threads=threads)
    upto = STEPS[: STEPS.index(failing) + 1]
    assert (done.code, done.out, done.err.decode().splitlines()) == (3, b"", [f"this is {label}" for label in upto])
    assert not (fake.project / "a.o").exists()


def test_the_steps_behind_one_that_failed_are_ended(fake: FakeNvcc) -> None:
    late = ["cicc compute_90", "nvcc -M"]
    fake.order({"cicc compute_80": {"after start of": late, "exit": 1}, **{label: {"forever": True} for label in late}})
    assert fake.compile(*fake.usual("-MD"), threads=8).code == 1
    assert set(labels(fake)) - set(labels(fake, "end")) == set(late)


@pytest.mark.parametrize("threads", [1, 8])
def test_of_two_steps_that_fail_the_one_that_nvcc_comes_to_first_is_told(threads: int, fake: FakeNvcc) -> None:
    # A source with a mistake: each pass finds it, and so does cudafe++, later where they run side by side.
    passes = ["cicc compute_80", "cicc compute_90"]
    later = {"after end of": ["cicc compute_80"]} if threads > 1 else {}
    fake.order(
        {
            "cudafe++": {**later, "say": "a mistake", "exit": 2},
            **{label: {"say": "the same mistake", "exit": 1} for label in passes},
        }
    )
    done = fake.compile(threads=threads)
    assert (done.code, done.err) == (2, b"a mistake\n")


def test_a_step_that_is_killed_ends_all_others_at_once(fake: FakeNvcc) -> None:
    others = ["cudafe++", "cicc compute_80"]
    fake.order(
        {"cicc compute_90": {"after start of": others, "signal": 9}, **{label: {"forever": True} for label in others}}
    )
    done = fake.compile(threads=8)
    assert (done.code, done.err) == (255, b"nvcc step 'cicc' died due to signal 9\n")
    assert {*others, "cicc compute_90"}.isdisjoint(labels(fake, "end"))


def test_a_launcher_takes_a_step_that_is_killed_for_one_that_ran_out_of_memory(machine: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "shop", BudgetRequest(jobs=2), root=machine) as served:
        fake = FakeNvcc(served.workshop.folder / "toolkit")
        fake.order({"cicc compute_76": {"once killed": True}})
        source = served.workshop.unit("a.cu")
        done = served.workshop.run_nvcc(source, passes=2, TMPDIR=str(fake.scratch))
        assert (done.code, done.out, done.err) == (0, b"", b"")
        assert [unit.outcome for unit in served.jobserver.timeline.units] == ["out of memory", "ok"]
    assert labels(fake, "end").count("g++ -c") == 1
    assert list(fake.scratch.iterdir()) == []


def test_what_the_steps_write_is_shown_in_nvccs_order(fake: FakeNvcc) -> None:
    orders: dict[str, Any] = {label: {"say": f"this is {label}"} for label in STEPS}
    orders["cudafe++"]["after end of"] = ["fatbinary"]
    orders["cicc compute_80"]["after end of"] = ["ptxas sm_90"]
    fake.order(orders)
    done = fake.compile(threads=8)
    assert (done.code, done.out) == (0, b"")
    assert done.err.decode().splitlines() == [f"this is {label}" for label in STEPS]


def scratch_folder(fake: FakeNvcc) -> Path:
    """Where the intermediate files of the usual command line lie."""
    assert fake.compile().code == 0
    [fatbinary] = [mark for mark in fake.marks("start") if mark.label == "fatbinary"]
    fake.forget()
    folder = Path(fatbinary.words[-1].partition("=")[2]).parent
    assert folder.parent == fake.scratch
    return folder


def test_a_folder_that_was_left_over_is_replaced(fake: FakeNvcc) -> None:
    folder = scratch_folder(fake)
    (folder / "below").mkdir(parents=True)
    for number in range(len(STEPS)):
        (folder / f"output-{number}").write_text("said earlier\n", encoding="utf-8")
    done = fake.compile()
    assert (done.code, done.err) == (0, b"")
    assert sorted(labels(fake)) == sorted(STEPS)


def test_where_the_folder_cannot_be_made_nvcc_compiles(fake: FakeNvcc) -> None:
    folder = scratch_folder(fake)
    folder.touch()
    assert fake.compile(threads=2).code == 0
    assert [(mark.label, mark.words) for mark in fake.marks("start")] == [("nvcc", [*fake.usual(), "--threads=2"])]
    folder.unlink()


@pytest.mark.parametrize(
    "name", ["two words", "it's", "naïve-\N{SNOWMAN}", os.fsdecode(b"\xe9t\xe9"), "semi;colon&co", "(round)", "#"]
)
def test_any_name_that_nvcc_can_compile_is_compiled(name: str, fake: FakeNvcc) -> None:
    folder = f'in "{name}" folder'
    fake.unit(f"{folder}/{name}.cu")
    object_file, dependencies = f'{folder}/"{name}".o', f'{folder}/"{name}".d'
    command = fake.usual("-MMD", f'-DNAME="{name}"', source=f"{folder}/{name}.cu", output=object_file)
    done = fake.compile(*command, threads=2)
    assert (done.code, done.err) == (0, b"")
    assert sorted(labels(fake)) == sorted([*STEPS, "nvcc -M"])
    assert all(f"{part}(" in fake.object(object_file) for part in STEPS)
    assert os.fsencode(f"{object_file} : ") in (fake.project / dependencies).read_bytes()


def test_temporary_files_may_lie_anywhere(fake: FakeNvcc) -> None:
    scratch = fake.scratch / "it's é; two words"
    scratch.mkdir()
    assert fake.compile(threads=2, TMPDIR=str(scratch)).code == 0
    assert sorted(labels(fake)) == sorted(STEPS)
    scratch.rmdir()
