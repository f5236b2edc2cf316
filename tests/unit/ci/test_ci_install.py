"""What the jobs of a workflow install cudawheel from where nobody says it: the checkout, the network, or a doubt."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from small_packages import path_source, write_recipe

from cudawheel.ci import install
from cudawheel.ci.install import default_install
from cudawheel.cli import main

SHA256 = "a" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FROM_GIT = {"url": "https://example.org/c.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}


@pytest.mark.parametrize(
    ("origin", "what"),
    [
        (FROM_GIT, f"cudawheel[s3] @ git+https://example.org/c.git@{COMMIT}"),
        ({**FROM_GIT, "url": "ssh://git@example.org/c"}, f"cudawheel[s3] @ git+ssh://git@example.org/c@{COMMIT}"),
        (
            {**FROM_GIT, "subdirectory": "x/y"},
            f"cudawheel[s3] @ git+https://example.org/c.git@{COMMIT}#subdirectory=x/y",
        ),
        (
            {"url": "https://example.org/c-1-py3-none-any.whl", "archive_info": {"hashes": {"sha256": SHA256}}},
            f"cudawheel[s3] @ https://example.org/c-1-py3-none-any.whl#sha256={SHA256}",
        ),
        (
            {"url": "https://example.org/c-1-py3-none-any.whl", "archive_info": {}},
            "cudawheel[s3] @ https://example.org/c-1-py3-none-any.whl",
        ),
    ],
)
def test_what_came_over_the_network_is_taken_from_there(origin: dict[str, Any], what: str, tmp_path: Path) -> None:
    chosen = default_install("s3://bucket/x", tmp_path, origin)
    assert (chosen.what, chosen.doubt) == (what, "")


@pytest.mark.parametrize(
    "origin",
    [
        {},
        {"url": "file:///home/ada/cudawheel", "dir_info": {"editable": True}},
        {"url": "file:///home/ada/cudawheel-1-py3-none-any.whl", "archive_info": {}},
        {"url": "file:///home/ada/c.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
        {**FROM_GIT, "url": "https://ada:secret@example.org/c.git"},
        {"url": "https://token@example.org/c.whl", "archive_info": {}},
    ],
)
@pytest.mark.parametrize(("remote", "extra"), [("", ""), ("s3://b/x", "[s3]"), ("gs://b/x", "[gs]"), ("/share/x", "")])
def test_what_a_service_cannot_reach_is_named_and_doubted(
    origin: dict[str, Any], remote: str, extra: str, tmp_path: Path
) -> None:
    chosen = default_install(remote, tmp_path, origin)
    assert chosen.what == f"cudawheel{extra}=={version('cudawheel')}"
    assert chosen.what in chosen.doubt
    assert "--install" in chosen.doubt


def test_a_checkout_that_is_cudawheel_is_installed_itself(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert default_install("", tmp_path, FROM_GIT).what.startswith("cudawheel @ git+")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "cudawheel"\n')
    assert default_install("s3://b/x", tmp_path, FROM_GIT).what == ".[s3]"
    (tmp_path / "pyproject.toml").write_text("no [ TOML")
    assert default_install("", tmp_path, FROM_GIT).what.startswith("cudawheel @ git+")


def test_a_folder_of_the_checkout_is_installed_from_there(tmp_path: Path) -> None:
    origin = {"url": (tmp_path / "third party" / "cudawheel").as_uri(), "dir_info": {}}
    assert default_install("", tmp_path, origin).what == "./third party/cudawheel"
    assert default_install("", tmp_path / "third party" / "elsewhere", origin).doubt


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Write a workflow with a cudawheel of some origin; gives its text and standard error."""
    write_recipe(tmp_path / "recipes", path_source("here"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_words: None)

    def write(service: str, origin: dict[str, Any], *more: str) -> tuple[str, str]:
        monkeypatch.setattr(install, "recorded_origin", lambda: origin)
        words = ("ci", service, "recipes/tiny.toml", "--cache", str(tmp_path / "cache"), *more)
        monkeypatch.setattr(sys, "argv", ["cudawheel", *words])
        with pytest.raises(SystemExit) as ended:
            main.run()
        assert ended.value.code == 0
        said = capsys.readouterr()
        return said.out, said.err

    return write


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_the_file_and_the_screen_say_what_is_doubtful(service: str, written: Any) -> None:
    text, err = written(service, {})
    first, second, third = text.splitlines()[:3]
    assert first.startswith("# Written by `cudawheel ci")
    assert second.startswith("# WARNING: the jobs install cudawheel==")
    assert not third.startswith("#")
    assert err.startswith("WARNING: the jobs install cudawheel==")
    assert (text, err) == written(service, {}), "the same bytes again"
    for origin, more in (({}, ("--install", "cudawheel==1.2")), (FROM_GIT, ())):
        text, err = written(service, origin, *more)
        assert (text.count("WARNING"), err) == (0, "")


def test_where_cudawheel_lies_in_the_checkout_every_job_has_one(written: Any, tmp_path: Path) -> None:
    def jobs_with_checkout(text: str) -> set[str]:
        jobs = YAML(typ="safe").load(text)["jobs"]
        return {
            name for name, job in jobs.items() if any("checkout@" in step.get("uses", "") for step in job["steps"][:1])
        }

    assert jobs_with_checkout(written("github", FROM_GIT)[0]) == {"build"}
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "cudawheel"\n')
    text, err = written("github", {})
    assert err == ""
    assert "python -m pip install .\n" in text
    assert jobs_with_checkout(text) == {"build", "audit"}
