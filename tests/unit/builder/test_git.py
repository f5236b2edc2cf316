"""Git sources, out of repositories on this machine."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from git_repositories import commit, configure, git, new_repository

from cudawheel.builder import git as builder_git
from cudawheel.builder.git import bring, check_out
from cudawheel.errors import SourceUnreachableError

NO_SUCH = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    new_repository(tmp_path / "upstream", {"README": "first\n", "sub/pyproject.toml": "[project]\n"})
    return tmp_path / "upstream"


def environment_of(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def test_a_commit_is_brought_without_its_history(repository: Path, tmp_path: Path) -> None:
    wanted = commit(repository, {"README": "second\n"})
    commit(repository, {"README": "third\n"})
    bare = bring(repository.as_uri(), wanted, tmp_path / "cache")
    assert git(bare, "rev-list", "--count", wanted) == "1"
    check_out(bare, wanted, tmp_path / "out", url=repository.as_uri())
    assert (tmp_path / "out" / "README").read_text() == "second\n"


def test_a_commit_that_no_branch_leads_to_is_brought(repository: Path, tmp_path: Path) -> None:
    wanted = commit(repository, {"README": "rebased away\n"})
    git(repository, "reset", "--quiet", "--hard", "HEAD~1")
    bare = bring(repository.as_uri(), wanted, tmp_path / "cache")
    check_out(bare, wanted, tmp_path / "out", url=repository.as_uri())
    assert (tmp_path / "out" / "README").read_text() == "rebased away\n"


def test_a_server_that_gives_branches_only_is_asked_for_them(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = git(repository, "rev-parse", "HEAD")
    commit(repository, {"README": "second\n"})
    environment_of(configure(protocol__version="0"), monkeypatch)
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "false")
    bare = bring(repository.as_uri(), wanted, tmp_path / "cache")
    assert git(bare, "cat-file", "-t", wanted) == "commit"


def test_what_is_in_the_cache_needs_no_server(repository: Path, tmp_path: Path) -> None:
    wanted = git(repository, "rev-parse", "HEAD")
    url = repository.as_uri()
    bare = bring(url, wanted, tmp_path / "cache")
    repository.rename(tmp_path / "gone")
    assert bring(url, wanted, tmp_path / "cache") == bare
    check_out(bare, wanted, tmp_path / "out", url=url)
    assert (tmp_path / "out" / "README").read_text() == "first\n"


def test_another_commit_is_fetched_into_the_same_repository(repository: Path, tmp_path: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    bare = bring(repository.as_uri(), first, tmp_path / "cache")
    second = commit(repository, {"README": "second\n"})
    assert bring(repository.as_uri(), second, tmp_path / "cache") == bare
    assert git(bare, "cat-file", "-t", first) == "commit"


def test_a_mirror_is_named_by_instead_of(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = configure(**{f"url.{tmp_path.as_uri()}/.insteadOf": "https://code.invalid/"})
    environment_of(settings, monkeypatch)
    wanted = git(repository, "rev-parse", "HEAD")
    assert bring("https://code.invalid/upstream", wanted, tmp_path / "cache").is_dir()


@pytest.mark.parametrize("relative", [False, True])
def test_submodules_are_checked_out(
    relative: bool, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment_of(configure(protocol__file__allow="always"), monkeypatch)
    new_repository(tmp_path / "library", {"library.h": "int answer;\n"})
    address = "../library" if relative else (tmp_path / "library").as_uri()
    git(repository, "submodule", "--quiet", "add", (tmp_path / "library").as_uri(), "library")
    git(repository, "config", "--file", ".gitmodules", "submodule.library.url", address)
    wanted = commit(repository, {})
    bare = bring(repository.as_uri(), wanted, tmp_path / "cache")
    check_out(bare, wanted, tmp_path / "out", url=repository.as_uri())
    assert (tmp_path / "out" / "library" / "library.h").read_text() == "int answer;\n"


def test_a_submodule_that_cannot_be_had_is_said(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment_of(configure(protocol__file__allow="always"), monkeypatch)
    new_repository(tmp_path / "library", {"library.h": ""})
    git(repository, "submodule", "--quiet", "add", (tmp_path / "library").as_uri(), "library")
    wanted = commit(repository, {})
    (tmp_path / "library").rename(tmp_path / "gone")
    bare = bring(repository.as_uri(), wanted, tmp_path / "cache")
    with pytest.raises(SourceUnreachableError, match="upstream"):
        check_out(bare, wanted, tmp_path / "out", url=repository.as_uri())


def test_a_commit_that_is_not_there_is_said(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachableError, match=f"has no commit {NO_SUCH}") as caught:
        bring(repository.as_uri(), NO_SUCH, tmp_path / "cache")
    assert "insteadOf" in caught.value.remedy


def test_a_repository_that_is_not_there_is_said_with_gits_own_reason(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachableError) as caught:
        bring((tmp_path / "nowhere").as_uri(), NO_SUCH, tmp_path / "cache")
    assert "does not appear to be a git repository" in caught.value.why


def test_a_name_that_does_not_resolve_is_said(tmp_path: Path) -> None:
    # A label of more than 63 letters is refused by the resolver itself, before it asks anybody.
    with pytest.raises(SourceUnreachableError, match="git cannot fetch") as caught:
        bring(f"https://{'n' * 70}.invalid/x.git", NO_SUCH, tmp_path / "cache")
    assert "resolve" in caught.value.why


def test_a_closed_port_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(SourceUnreachableError) as caught:
        bring(f"http://127.0.0.1:{port}/x.git", NO_SUCH, tmp_path / "cache")
    assert "127.0.0.1" in caught.value.why


def test_a_server_that_accepts_and_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert builder_git._ANSWER_SECONDS < 20
    monkeypatch.setattr(builder_git, "_ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.git"
        with pytest.raises(SourceUnreachableError, match="git cannot fetch") as caught:
            bring(url, NO_SUCH, tmp_path / "cache")
    assert "no answer within 0.5 s" in caught.value.why


def test_no_question_is_asked_of_the_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git would ask for a password on the terminal, and wait for it."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "fatal: prompt=$GIT_TERMINAL_PROMPT stall=$GIT_HTTP_LOW_SPEED_TIME"\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    with pytest.raises(SourceUnreachableError) as caught:
        bring("https://code.invalid/x", NO_SUCH, tmp_path / "cache")
    assert caught.value.why == "fatal: prompt=0 stall=15"


def test_a_machine_without_git_is_told_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceUnreachableError) as caught:
        bring("https://code.invalid/x", NO_SUCH, tmp_path / "cache")
    assert caught.value.why == "git is not installed"
    assert caught.value.remedy == "Install git."


def test_a_half_made_repository_of_a_killed_run_is_completed(repository: Path, tmp_path: Path) -> None:
    wanted = git(repository, "rev-parse", "HEAD")
    bare = bring(repository.as_uri(), wanted, tmp_path / "cache")
    shutil.rmtree(bare / "objects")
    (bare / "HEAD").unlink()
    assert bring(repository.as_uri(), wanted, tmp_path / "cache") == bare
    assert git(bare, "cat-file", "-t", wanted) == "commit"


def test_a_repository_that_the_caller_works_in_is_left_alone(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git hooks run with GIT_DIR and GIT_INDEX_FILE set, which every git below them obeys."""
    own = new_repository(tmp_path / "own", {"mine": "untouched\n"})
    wanted = git(repository, "rev-parse", "HEAD")
    with monkeypatch.context() as hook:
        hook.setenv("GIT_DIR", str(tmp_path / "own" / ".git"))
        hook.setenv("GIT_WORK_TREE", str(tmp_path / "own"))
        hook.setenv("GIT_INDEX_FILE", str(tmp_path / "own" / ".git" / "index"))
        bare = bring(repository.as_uri(), wanted, tmp_path / "cache")
        check_out(bare, wanted, tmp_path / "out", url=repository.as_uri())
    assert (tmp_path / "out" / "README").read_text() == "first\n"
    assert git(tmp_path / "own", "rev-parse", "HEAD") == own
    assert git(tmp_path / "own", "status", "--porcelain") == ""
