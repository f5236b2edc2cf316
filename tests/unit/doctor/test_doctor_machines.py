"""Doctor names the cause on machines made of files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from machines_of_files import describe, make_world, names

from cudawheel.doctor.diagnosis import diagnose
from cudawheel.doctor.examine import examine
from cudawheel.doctor.finding import Finding, Severity, worst
from cudawheel.doctor.machine import Machine

FOLDERS = {"cache": "/home/ada/.cache/cudawheel", "temporary files": "/tmp"}  # noqa: S108 - of a machine of files
ADDRESSES = (("the package index", "https://user:secret@index.test/simple/"),)

Look = Callable[[str], Machine]


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Make a machine of the name, and examine it; 16 cores, and room on every disk that can be written."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(16)))
    roomy = os.statvfs_result((4096, 4096, 1 << 30, 1 << 29, 1 << 29, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: roomy)

    def look_(name: str) -> Machine:
        return examine(make_world(tmp_path, describe(name)), folders=FOLDERS, addresses=ADDRESSES)

    return look_


def text_of(finding: Finding) -> str:
    return "\n".join((finding.found, *finding.remedy))


@pytest.mark.parametrize("name", names())
def test_the_cause_is_named(name: str, look: Look) -> None:
    findings = diagnose(look(name))
    for code, words in describe(name)["expect"].items():
        about = "\n".join(text_of(finding) for finding in findings if finding.code == code)
        assert about, f"no {code} among {[finding.code for finding in findings]}"
        assert [word for word in words if word not in about] == []


@pytest.mark.parametrize("name", names())
def test_nothing_worse_is_said_than_what_is_wrong(name: str, look: Look) -> None:
    findings = diagnose(look(name))
    bad = [(finding.code, finding.found) for finding in findings if finding.severity is worst(findings)]
    assert worst(findings).name.lower() in {describe(name)["worst"], "note"}, bad
    assert (worst(findings) >= Severity.WARNING) == (describe(name)["worst"] in {"warning", "problem"}), bad


@pytest.mark.parametrize("name", names())
def test_every_finding_is_one_line_and_says_what_to_do_if_it_is_bad(name: str, look: Look, tmp_path: Path) -> None:
    for finding in diagnose(look(name)):
        assert len(finding.found.splitlines()) == 1
        assert all(len(line.splitlines()) == 1 for line in finding.remedy)
        assert finding.remedy or finding.severity < Severity.WARNING, finding
        assert str(tmp_path) not in text_of(finding)
        assert "secret" not in text_of(finding)
        assert json.loads(json.dumps(finding.to_json()))["code"] == finding.code


def test_machines_are_values(look: Look) -> None:
    machine = look("whole")
    assert machine == look("whole")
    assert hash(machine.environment)


def test_a_probe_that_breaks_is_told_and_stops_no_other(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(_world: object, *_words: object, **_named: object) -> None:
        raise PermissionError(13, "Permission\ndenied")

    for name in ("wsl", "network", "environment", "toolkits", "compilers", "driver", "memory", "folders", "tools"):
        break_down.__name__ = f"probe_{name}"
        monkeypatch.setattr(f"cudawheel.doctor.examine.probe_{name}", break_down)
    findings = diagnose(look("whole"))
    broken = [finding for finding in findings if finding.code == "probe-failed"]
    assert len(broken) == 9
    assert all("Permission denied" in finding.found for finding in broken)
    assert {"memory-unknown", "driver-broken", "python-broken"} <= {finding.code for finding in findings}


def test_folders_that_may_not_be_entered_hold_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(_self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    world = make_world(tmp_path, describe("whole"))
    monkeypatch.setattr(Path, "is_dir", forbid)
    monkeypatch.setattr(Path, "is_file", forbid)
    machine = examine(world)
    assert machine.faults == ()
    assert (machine.environment.torch, machine.pythons, machine.toolkits) == (None, (), ())
