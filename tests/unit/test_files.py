from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cudawheel.files import sha256_of, write_atomically, write_together


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_hashes_are_those_of_hashlib(size: int, tmp_path: Path) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@settings(max_examples=25)
@given(before=st.none() | st.binary(max_size=99), content=st.binary(max_size=99))
def test_a_written_file_holds_what_was_given(
    before: bytes | None, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("files")
    path = folder / "file"
    if before is not None:
        path.write_bytes(before)
    write_atomically(path, content)
    assert path.read_bytes() == content
    assert list(folder.iterdir()) == [path]


def test_a_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def break_writing(monkeypatch: pytest.MonkeyPatch, *, from_call: int, error: BaseException) -> None:
    """Let files opened through a descriptor fail half way through what they are given."""
    real = os.fdopen
    calls = iter(range(1000))

    def fdopen(*arguments: Any, **keywords: Any) -> Any:
        file = real(*arguments, **keywords)
        if next(calls) < from_call:
            return file
        write = file.write

        def half(content: bytes) -> NoReturn:
            write(content[: len(content) // 2])
            file.flush()
            raise error

        wrapped = _Wrapper(file)
        wrapped.write = half
        return wrapped

    monkeypatch.setattr(os, "fdopen", fdopen)


class _Wrapper:
    def __init__(self, file: Any) -> None:
        self._file = file
        self.write: Any = file.write

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *details: object) -> None:
        self._file.close()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no room"), KeyboardInterrupt()])
@pytest.mark.parametrize("before", [None, b"old"])
def test_an_interrupted_write_leaves_what_was_there(
    error: BaseException, before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    break_writing(monkeypatch, from_call=0, error=error)
    with pytest.raises(type(error)):
        write_atomically(path, b"new content")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if before is None else [before])


def test_files_written_together_appear_together_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_together({first: b"1", second: b"2"})
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")

    break_writing(monkeypatch, from_call=1, error=OSError(errno.ENOSPC, "no room"))
    with pytest.raises(OSError, match="no room"):
        write_together({first: b"new", second: b"newer"})
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")
    assert sorted(tmp_path.iterdir()) == [first, second]


def test_a_missing_folder_is_the_callers_to_make(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "nowhere" / "file", b"")
