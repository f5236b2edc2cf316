"""`cudawheel cache`: what it prints, what it does, and the code it ends with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run_main
from store_scene import key_of, make_wheel

from cudawheel.store.store import Store

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run `cudawheel cache` in this process; gives exit code, standard output and standard error."""
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setattr("cudawheel.cli.console.out.width", 30)
    monkeypatch.setenv("CUDAWHEEL_CACHE", str(tmp_path / "cache"))

    def call_(*words: str | Path) -> tuple[int, str, str]:
        return run_main(capsys, monkeypatch, "cache", *words)

    return call_


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three entries, the first of which was last used in 2001."""
    store = Store(tmp_path / "cache" / "store")
    for number in range(3):
        store.add(key_of(number), *make_wheel(tmp_path / "built", number))
    os.utime(store.root / key_of(0) / "last-used", (1_000_000_000, 1_000_000_000))
    return store


def names(store: Store) -> set[str]:
    return {entry.fingerprint for entry in store.entries()}


def test_an_empty_store_is_listed_as_empty(call: Call) -> None:
    assert call("list") == (0, "0 wheels, 0 B\n", "")
    code, output, _ = call("list", "--json")
    assert (code, json.loads(output)) == (0, {"entries": [], "size": 0, "damaged": []})


def test_a_list_names_wheels_the_most_recently_used_first(call: Call, store: Store) -> None:
    code, output, _ = call("list")
    assert code == 0
    shown = [line for line in output.splitlines() if "demo_" in line]
    assert len(shown) == 3
    assert "demo_0-1.0-py3-none-any.whl" in shown[-1]
    assert "2001-09-0" in shown[-1]
    entries = json.loads(call("list", "--json")[1])["entries"]
    assert {entry["fingerprint"] for entry in entries} == names(store)
    assert entries[-1]["last_used"] == "2001-09-09T01:46:40+00:00"
    assert all(Path(entry["path"]).is_file() for entry in entries)


def test_a_list_says_what_cannot_be_read_and_what_was_set_aside(call: Call, store: Store) -> None:
    (store.root / key_of(1) / "record.json").write_text("{", encoding="utf-8")
    assert "record not readable" in call("list")[1]
    store.find(key_of(1))
    assert "1 set aside as damaged" in call("list")[1]


def test_what_is_old_is_pruned_and_a_dry_run_only_says_so(call: Call, store: Store) -> None:
    code, output, _ = call("prune", "--age", "30d", "--dry-run")
    assert code == 0
    assert "1 wheel would go" in output
    assert len(names(store)) == 3
    plain = json.loads(call("prune", "--age", "30d", "--json")[1])
    assert [(entry["fingerprint"], entry["reason"]) for entry in plain["removed"]] == [(key_of(0), "age")]
    assert (plain["kept"], plain["dry_run"]) == (2, False)
    assert names(store) == {key_of(1), key_of(2)}


def test_what_is_in_use_is_said(call: Call, store: Store) -> None:
    with store.reading(key_of(0), counts_as_use=False):
        code, output, _ = call("prune", "--count", "0")
    assert code == 0
    assert f"{key_of(0)[:12]} stays" in output
    assert names(store) == {key_of(0)}


@pytest.mark.parametrize(
    ("words", "left"),
    [(("--count", "1"), 1), (("--size", "0"), 0), (("--size", "10G"), 3), (("--age", "2w"), 2), (("--age", "90 m"), 2)],
)
def test_limits_are_read(words: tuple[str, ...], left: int, call: Call, store: Store) -> None:
    assert call("prune", *words)[0] == 0
    assert len(names(store)) == left


@pytest.mark.parametrize(
    "words",
    [(), ("--age", "soon"), ("--age", "30"), ("--age", "9e99w"), ("--age", f"{'9' * 30}w"), ("--size", "much")],
)
def test_limits_that_mean_nothing_are_wrong_usage(words: tuple[str, ...], call: Call, store: Store) -> None:
    code, _, errors = call("prune", *words)
    assert code == 2
    assert "→" in errors
    assert len(names(store)) == 3


def test_wheels_go_to_a_folder_and_the_second_time_they_are_there(call: Call, store: Store, tmp_path: Path) -> None:
    code, output, _ = call("push", tmp_path / "remote")
    assert code == 0
    assert "3 wheels copied" in output
    plain = json.loads(call("push", tmp_path / "remote", "--json")[1])
    assert {entry["result"] for entry in plain} == {"there already"}
    assert {path.name for path in (tmp_path / "remote").iterdir()} == names(store)


def test_what_is_named_by_its_first_digits_is_meant(call: Call, store: Store, tmp_path: Path) -> None:
    assert len(names(store)) == 3
    assert call("push", tmp_path / "remote", key_of(1)[:6].upper())[0] == 0
    assert [path.name for path in (tmp_path / "remote").iterdir()] == [key_of(1)]


@pytest.mark.parametrize("text", ["ffffffff", "", key_of(1)[:3]])
def test_a_name_that_means_none_or_too_many_is_wrong_usage(text: str, call: Call, store: Store, tmp_path: Path) -> None:
    assert len(names(store)) == 3
    code, _, errors = call("push", tmp_path / "remote", text)
    assert code == 2
    assert "is not the beginning of one fingerprint" in errors


@pytest.mark.usefixtures("store")
def test_what_a_stranger_pushed_is_not_pulled_unless_it_is_sound(call: Call, tmp_path: Path) -> None:
    # These wheels are whole, and their records are of no build.
    assert call("push", tmp_path / "remote")[0] == 0
    code, output, errors = call("pull", tmp_path / "remote", "--cache", tmp_path / "other")
    assert code == 25
    assert output.count("not kept") == 3
    assert "is not one of a build" in errors
    assert Store(tmp_path / "other" / "store").entries() == ()


def test_a_wheel_that_a_remote_store_lacks_has_a_code_of_its_own(call: Call, tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    code, _, errors = call("pull", tmp_path / "remote", key_of(1))
    assert code == 26
    assert "has no wheel of fingerprint" in errors


@pytest.mark.parametrize("words", [("push",), ("pull", key_of(1))])
def test_a_remote_store_that_does_not_answer_has_it_too(words: tuple[str, ...], call: Call, store: Store) -> None:
    assert len(names(store)) == 3
    code, _, errors = call(words[0], "http://127.0.0.1:9/", *words[1:])
    assert code == 26
    assert "remote store not usable" in errors


def test_a_check_ends_with_a_code_of_its_own_if_something_is_not_sound(call: Call, store: Store) -> None:
    (store.root / key_of(1) / make_name(1)).write_bytes(b"damaged")
    code, output, errors = call("check", key_of(1))
    assert code == 25
    assert "set aside" in output
    assert "stored wheel not sound" in errors
    assert len(store.damaged()) == 1
    assert call("check", "--cache", store.root / "nowhere") == (0, "0 wheels checked, none not sound\n", "")
    code, output, _ = call("check", "--json")
    assert [entry["sound"] for entry in json.loads(output)] == [False, False]


def make_name(number: int) -> str:
    return f"demo_{number}-1.0-py3-none-any.whl"


def test_a_signature_can_be_required_only_where_a_key_is_trusted(call: Call, store: Store, tmp_path: Path) -> None:
    assert len(names(store)) == 3
    code, _, errors = call("check", "--trust", tmp_path / "no.pub")
    assert code != 0
    assert "error" in errors
    assert len(names(store)) == 3
