"""`farm check`: every worker is listed, those too that do not answer, with the reason if there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm_cluster import FakeFarm, Start

from cudawheel.farm import check
from cudawheel.farm.cluster import Answered, build_key


class SomeSilent(FakeFarm):
    """A cluster of which one worker says nothing."""

    def start(self, *words: object) -> None:
        start = Start(*words)  # type: ignore[arg-type]
        self.started.append(start)
        if start.worker != "busy":
            super().start(*words)  # type: ignore[arg-type]


@pytest.mark.parametrize("at_work", [True, False])
def test_who_does_not_answer_is_listed_with_what_it_does(
    at_work: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    farm = SomeSilent(folder=tmp_path, there={"a", "busy"})
    if at_work:
        farm.tasks = {"busy": (build_key(f"cudawheel-{'0a' * 6}", "cp312-x", 1),)}
    monkeypatch.setattr(check, "connect", farm.connect)
    monkeypatch.setattr(check, "_SECONDS", 0.05)
    good, silent = check.ask_all("tcp://x:1", str(tmp_path / "shared"), machine="x86_64", cudas=("13.0",))
    assert (good.address, good.fit) == ("a", True)
    assert (silent.address, silent.fit) == ("busy", False)
    (error,) = silent.errors
    assert "has not answered" in error.what
    assert ("cp312-x" in error.why) == at_work


def test_who_answers_with_a_fault_has_another_cudawheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    farm = FakeFarm(folder=tmp_path, there={"a"})

    def start(key: str, *_more: object) -> None:
        farm.post(Answered(key=key, value=None, fault="ModuleNotFoundError: cudawheel"))

    monkeypatch.setattr(farm, "start", start)
    monkeypatch.setattr(check, "connect", farm.connect)
    (report,) = check.ask_all("tcp://x:1", str(tmp_path / "shared"), machine="x86_64", cudas=("13.0",))
    (error,) = report.errors
    assert "does not understand" in error.what
    assert "ModuleNotFoundError" in error.why
