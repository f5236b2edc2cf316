"""What a wheel says of itself before anything of it runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from small_packages import sha256, write_wheel

from cudawheel.errors import VerificationSetupError, WheelError
from cudawheel.model.version import PythonVersion
from cudawheel.verify.candidate import Candidate, find_candidates

RUNNING = PythonVersion(3, 12)
ORIGIN = {"recipe": "tiny.toml", "source": "upstream", "variant": "cp312-torch2.11-cu130-x86_64", "fallback": False}


def wheel_of(folder: Path, origin: str) -> Path:
    return write_wheel(folder, "tiny-ext", "1.0", files={"tiny_ext-1.0.dist-info/cudawheel.json": origin})


def test_a_wheel_of_ours_says_where_it_comes_from(tmp_path: Path) -> None:
    path = wheel_of(tmp_path, json.dumps(ORIGIN))
    found = Candidate.read(path)
    assert (found.recipe, found.source, found.torch) == ("tiny.toml", "upstream", "2.11")
    assert found.sha256 == sha256(path.read_bytes())
    assert not found.capabilities


@pytest.mark.parametrize("origin", ["not JSON", "[1, 2]", "{}", '{"variant": 5, "recipe": ["x"]}'])
def test_a_wheel_of_somebody_else_says_nothing(origin: str, tmp_path: Path) -> None:
    found = Candidate.read(wheel_of(tmp_path, origin))
    assert (found.recipe, found.source, found.torch) == ("", "", "")


def test_a_truncated_wheel_is_refused(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, "tiny-ext", "1.0")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WheelError):
        Candidate.read(path)


@pytest.mark.parametrize(
    ("tag", "python"),
    [
        ("cp311-cp311-linux_x86_64", "3.11"),
        ("cp312-cp312-linux_x86_64", "3.12"),
        ("cp310-abi3-linux_x86_64", "3.12"),
        ("cp313-abi3-linux_x86_64", "3.13"),
        ("py3-none-any", "3.12"),
    ],
)
def test_a_wheel_runs_on_the_running_python_where_it_fits(tag: str, python: str, tmp_path: Path) -> None:
    assert str(tagged(tmp_path, tag).python(RUNNING)) == python


def test_a_wheel_for_no_cpython_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerificationSetupError) as refused:
        tagged(tmp_path, "pp310-pypy310_pp73-linux_x86_64").python(RUNNING)
    assert "pp310-pypy310_pp73-linux_x86_64" in refused.value.why


def tagged(folder: Path, tag: str) -> Candidate:
    path = write_wheel(folder, "tiny-ext", "1.0")
    return Candidate.read(path.rename(path.with_name(f"tiny_ext-1.0-{tag}.whl")))


def test_a_path_is_that_wheel_and_a_name_all_of_the_wheelhouse_the_newest_first(tmp_path: Path) -> None:
    old, new = (write_wheel(tmp_path / place, "tiny-ext", "1.0") for place in ("a", "b"))
    write_wheel(tmp_path, "other", "1.0")
    os.utime(old, (1, 1))
    assert find_candidates(str(old), tmp_path) == (old,)
    assert find_candidates("Tiny_Ext", tmp_path) == (new, old)


def test_a_name_of_which_there_is_no_wheel_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(VerificationSetupError) as missing:
        find_candidates("tiny-ext", tmp_path)
    assert "cudawheel build recipes/tiny-ext.toml" in missing.value.remedy
