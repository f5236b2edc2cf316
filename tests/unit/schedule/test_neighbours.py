"""Two cudawheels on one machine do not give the same memory away twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cudawheel.schedule import neighbours
from cudawheel.schedule.neighbours import Claims, Neighbours, claims_folder

NONE = Claims()
SOME = Claims(memory=3 << 30, threads=2)

# A cudawheel that claims something and then waits for its standard input to end.
OTHER = """
import sys
from pathlib import Path
from cudawheel.schedule.neighbours import Claims, Neighbours
with Neighbours(Path(sys.argv[1])) as mine:
    mine.claim(Claims(memory=3 << 30, threads=2))
    print("claimed", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    return process


def test_each_sees_what_the_others_claim_and_not_its_own(tmp_path: Path) -> None:
    with Neighbours(tmp_path) as one, Neighbours(tmp_path) as two, Neighbours(tmp_path) as three:
        one.claim(SOME)
        three.claim(Claims(memory=1, threads=1))
        assert two.claims() == Claims(memory=(3 << 30) + 1, threads=3)
        assert one.claims() == Claims(memory=1, threads=1)
        one.claim(NONE)
        assert two.claims() == Claims(memory=1, threads=1)


def test_who_leaves_claims_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    with Neighbours(tmp_path) as one:
        with Neighbours(tmp_path) as two:
            two.claim(SOME)
        assert one.claims() == NONE
    assert [path.name for path in tmp_path.iterdir() if path.name != "turn.lock"] == []


def test_another_process_is_seen_as_long_as_it_lives(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    with Neighbours(tmp_path) as mine, other:
        assert mine.claims() == SOME
        other.kill()
        other.wait()
        assert mine.claims() == NONE
        assert [path.name for path in tmp_path.glob(f"{other.pid}-*")] == []


def test_the_one_who_decides_sees_what_is_claimed(tmp_path: Path) -> None:
    with Neighbours(tmp_path) as one, Neighbours(tmp_path) as two:
        with one.deciding() as elsewhere:
            assert elsewhere == NONE
            one.claim(SOME)
        with two.deciding() as elsewhere:
            assert elsewhere == SOME


@pytest.mark.parametrize("text", ["", "nonsense", "1", "1 2 3", "1 x", "\x00\xff"])
def test_a_claim_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    with Neighbours(tmp_path) as one, Neighbours(tmp_path) as two:
        two.claim(SOME)
        next(path for path in tmp_path.glob("*.claims") if "3221225472" in path.read_text()).write_text(text)
        assert one.claims() == NONE


def test_where_the_folder_cannot_be_made_there_are_no_neighbours(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with Neighbours(in_the_way / "claims") as mine, mine.deciding() as elsewhere:
        mine.claim(SOME)
        assert elsewhere == NONE


def test_a_folder_of_somebody_else_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Neighbours(tmp_path) as theirs:
        theirs.claim(SOME)
        monkeypatch.setattr(neighbours.os, "getuid", lambda: os.geteuid() + 1)
        with Neighbours(tmp_path) as mine:
            assert mine.claims() == NONE


def test_each_person_has_a_folder_of_their_own() -> None:
    assert str(os.getuid()) in claims_folder().name
