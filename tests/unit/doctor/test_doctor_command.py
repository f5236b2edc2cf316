"""`cudawheel doctor` as a person calls it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import run_main
from machines_of_files import describe, make_world

from cudawheel.cli import doctor

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Have the command look at a machine of files instead of this one."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(16)))
    # The machine of files lies on this one's disk, which may be nearly full.
    monkeypatch.setattr(
        os, "statvfs", lambda _path: os.statvfs_result((4096, 4096, 1 << 28, 1 << 27, 1 << 27, *[1] * 5))
    )
    monkeypatch.setenv("CUDAWHEEL_CACHE", "/home/ada/.cache/cudawheel")

    def use_(name: str) -> None:
        world = make_world(tmp_path / "machine", describe(name))
        monkeypatch.setattr(doctor, "this_world", lambda: world)

    return use_


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run the command line in this process; gives exit code, standard output and standard error."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setattr("cudawheel.cli.console.out.width", 100)

    def call_(*words: str | Path) -> tuple[int, str, str]:
        return run_main(capsys, monkeypatch, "doctor", *words)

    return call_


Use = Callable[[str], None]


@pytest.mark.parametrize(
    ("name", "code"), [("whole", 0), ("no_driver", 0), ("wsl2", 61), ("old_torch", 60), ("nonsense", 60)]
)
def test_the_exit_code_is_that_of_the_worst_finding(name: str, code: int, use: Use, call: Call) -> None:
    use(name)
    ended, out, _ = call("--offline")
    assert ended == code
    assert ("✗" in out) == (code == 60)


def test_json_says_what_the_lines_say(use: Use, call: Call) -> None:
    use("old_torch")
    code, out, err = call("--offline", "--json")
    answer: dict[str, Any] = json.loads(out)
    assert (code, err, answer["worst"]) == (60, "", "problem")
    found = {finding["code"]: finding for finding in answer["findings"]}
    assert found["torch-no-kernel-image"]["severity"] == "problem"
    assert found["torch-no-kernel-image"]["remedy"] == ['pip install --force-reinstall "torch==2.9.*"']


def test_another_gpu_is_judged_where_it_is_named(use: Use, call: Call) -> None:
    use("whole")
    code, out, _ = call("--offline", "--gpu", "RTX 5090")
    assert code == 0
    assert "native on RTX 5090 (12.0)" in out
    code, out, _ = call("--offline", "--gpu", "3090; 5070 Ti", "--json")
    assert "judged for 3090 (8.6) and 5070 Ti (12.0), as asked" in out
    code, out, _ = call("--offline", "--gpu", "9.0")
    assert "H100, H200 (9.0)" in out
    code, out, _ = call("--offline", "--gpu", "V100")
    assert code == 60
    assert "`" not in out
    assert "no kernel image is available on V100 (7.0)" in " ".join(out.split())


@pytest.mark.parametrize("name", ["RTX 9999", "14.7", "", "native"])
def test_a_gpu_that_nobody_knows_is_said(name: str, use: Use, call: Call) -> None:
    use("whole")
    code, out, err = call("--offline", "--gpu", name)
    assert (code, out) == (4, "")
    assert "error" in err


def test_only_what_is_installed(use: Use, call: Call) -> None:
    use("old_torch")
    code, out, _ = call("--installed", "--json")
    assert code == 60
    assert {finding["section"] for finding in json.loads(out)["findings"]} == {"torch", "extensions"}


def test_seven_lines_and_what_is_missing_for_a_mesh(use: Use, call: Call) -> None:
    use("whole")
    code, out, _ = call("--checklist")
    assert code == 60
    numbers = [line[0] for line in out.splitlines() if line[:1].isdigit()]
    assert numbers == [str(number) for number in range(1, 8)]
    code, out, _ = call("--checklist", "--json")
    assert [item["question"] for item in json.loads(out)["checklist"]][-1] == "a mesh"


def test_nothing_wider_than_the_terminal(use: Use, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    use("old_torch")
    monkeypatch.setattr("cudawheel.cli.console.out.width", 80)
    _, out, _ = call("--offline")
    assert max(len(line) for line in out.splitlines()) <= 80


def test_fix_shows_first_and_asks(use: Use, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use("whole")
    cache = tmp_path / "home" / "cache"
    monkeypatch.setattr("click.confirm", lambda *_words, **_options: False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    _, out, _ = call("--offline", "--fix", "--cache", cache)
    assert "--fix makes these folders" in out
    assert not cache.exists()
    _, out, _ = call("--offline", "--fix", "--yes", "--cache", cache)
    assert cache.is_dir()
    assert (tmp_path / "home" / ".config" / "cudawheel" / "keys").is_dir()
    _, out, _ = call("--offline", "--fix", "--yes", "--cache", cache)
    assert "nothing that --fix could make" in out


def test_fix_without_a_terminal_to_ask_at_wants_a_yes(use: Use, call: Call, tmp_path: Path) -> None:
    use("whole")
    code, out, err = call("--offline", "--fix", "--cache", tmp_path / "home" / "cache")
    assert code == 2
    assert "--fix makes these folders" in out
    assert "→ Add --yes" in err
    assert not (tmp_path / "home" / "cache").exists()


def test_the_checklist_is_of_more_than_what_is_installed(use: Use, call: Call) -> None:
    use("whole")
    code, out, err = call("--checklist", "--installed")
    assert (code, out) == (2, "")
    assert "exclude each other" in err


def test_piped_output_is_whole_and_has_no_blanks_at_its_ends(
    use: Use, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    use("old_torch")
    monkeypatch.setattr("cudawheel.cli.console.out.width", 40)
    _, out, _ = call("--offline")
    assert [line for line in out.splitlines() if line != line.rstrip()] == []
    assert "16 cores" in " ".join(out.partition("\n\n")[0].split())


def test_fix_beside_json_keeps_standard_output_whole(use: Use, call: Call, tmp_path: Path) -> None:
    use("whole")
    _, out, err = call("--offline", "--fix", "--yes", "--json", "--cache", tmp_path / "home" / "cache")
    assert json.loads(out)["worst"]
    assert "--fix makes" in err


def test_a_python_that_is_not_there(use: Use, call: Call) -> None:
    use("whole")
    code, out, _ = call("--offline", "--python", "no-such-python")
    assert code == 60
    assert "no-such-python does not answer" in out


def test_a_machine_on_which_nothing_can_be_written(
    use: Use, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    use("nothing_writable")
    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    monkeypatch.setenv("TMPDIR", "/tmp")  # noqa: S108 - of a machine of files
    code, out, _ = call("--offline")
    assert code == 60
    assert "/home/ada/.cache/cudawheel cannot be written" in " ".join(out.split())
    assert "/tmp cannot be written" in " ".join(out.split())  # noqa: S108
    (tmp_path / "home").chmod(0o500)
    (tmp_path / "home" / ".config").write_text("", encoding="utf-8") if os.access(tmp_path / "home", os.W_OK) else None
    code, _, err = call("--offline", "--fix", "--yes", "--cache", tmp_path / "home" / "cache")
    assert code == 18
    assert "cannot be written" in err


def test_a_recipe_that_cannot_be_read(use: Use, call: Call) -> None:
    use("whole")
    code, _, err = call("--offline", "--for", "nowhere.toml")
    assert code == 3
    assert "nowhere.toml" in err


def test_this_machine_is_described_without_failing(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("--offline", "--json", "--cache", tmp_path / "cache")
    assert code in {0, 60, 61}
    sections = {finding["section"] for finding in json.loads(out)["findings"]}
    assert {"memory", "GPU", "nvcc", "C++", "Python", "torch", "disk"} <= sections
