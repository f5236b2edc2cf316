"""Read tokens."""

from __future__ import annotations

import base64
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from index_wheels import TOKEN

from cudawheel.errors import UsageError
from cudawheel.index.tokens import TokenFile, Tokens

NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(
        f"# who may read\n\n{TOKEN}\nanother-token-of-length 2026-11-26\nold-token-of-some-length 2026-11-25\n"
    )
    return file


@pytest.mark.parametrize(
    ("authorization", "allowed"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer   {TOKEN}  ", True),
        (basic("__token__", TOKEN), True),
        (basic("__token__", "another-token-of-length"), True),
        (basic("__token__", "old-token-of-some-length"), False),
        (basic("__token__", TOKEN + "x"), False),
        (basic("__token__", ""), False),
        (basic("someone", TOKEN), False),
        (basic("", TOKEN), False),
        (f"Bearer {TOKEN[:-1]}", False),
        (f"Digest {TOKEN}", False),
        (TOKEN, False),
        ("", False),
        ("Bearer", False),
        ("Basic", False),
        ("Basic !!!", False),
        ("Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(), False),
        ("Bearer # who may read", False),
        ("Bearer \udcff", False),
    ],
)
def test_who_may_read(authorization: str, allowed: bool, path: Path) -> None:
    assert Tokens.load(path).allow(authorization, NOW) is allowed


def test_a_token_is_valid_until_its_day_begins(path: Path) -> None:
    tokens, header = Tokens.load(path), "Bearer another-token-of-length"
    last = datetime(2026, 11, 26, tzinfo=timezone.utc)
    assert tokens.allow(header, last - timedelta(seconds=1))
    assert not tokens.allow(header, last)


def test_no_token_is_kept_as_it_is(path: Path) -> None:
    assert TOKEN not in repr(Tokens.load(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no token"),
        (b"# nothing\n", "holds no token"),
        (b"short\n", "easily guessed"),
        (f"{TOKEN} tomorrow\n".encode(), "is no day"),
        (f"{TOKEN} 2026-02-30\n".encode(), "is no day"),
        (f"{TOKEN} 2026-11-26 more\n".encode(), "is no day"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_file_of_tokens_that_is_none(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_bytes(content)
    with pytest.raises(UsageError, match=said) as refused:
        Tokens.load(tmp_path / "tokens")
    assert TOKEN not in str(refused.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Tokens.load(tmp_path / "tokens")


def test_tokens_change_while_serving(path: Path) -> None:
    told: list[str] = []
    tokens = TokenFile(path, told.append)
    assert tokens().allow(f"Bearer {TOKEN}", NOW)
    path.write_text("a-new-token-of-this-length\n")
    os.utime(path, ns=(1, 1))
    assert not tokens().allow(f"Bearer {TOKEN}", NOW)
    assert tokens().allow("Bearer a-new-token-of-this-length", NOW)
    path.unlink()
    assert tokens().allow("Bearer a-new-token-of-this-length", NOW)
    assert tokens().allow("Bearer a-new-token-of-this-length", NOW)
    assert len(told) == 1
