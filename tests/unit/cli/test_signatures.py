"""Keys and signatures through the command line, from `key new` to a check on another machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run_main
from fake_tools import PLAIN_TAG, give, write_compiler, write_toolkit
from small_packages import path_source, write_project, write_recipe

from cudawheel.audit import report
from cudawheel.factory import proof

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, links: Path) -> Call:
    """Run the command line in this process, at home in a folder; gives exit code, standard output and error."""
    del links
    for name in [name for name in os.environ if name.startswith(("CUDA", "CXX", "CC"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setattr("cudawheel.cli.console.out.width", 300)
    monkeypatch.setattr("cudawheel.cli.console.err.width", 300)
    monkeypatch.setattr(proof, "find_platform_tag", give(PLAIN_TAG))
    monkeypatch.setattr(report, "find_platform_tag", give(PLAIN_TAG))
    monkeypatch.setenv("CUDA_HOME", str(write_toolkit(tmp_path / "cuda")))
    monkeypatch.setenv("CXX", str(write_compiler(tmp_path / "bin" / "g++")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CUDAWHEEL_CACHE", str(tmp_path / "cache"))

    def call_(*words: str | Path) -> tuple[int, str, str]:
        return run_main(capsys, monkeypatch, *words)

    return call_


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    write_project(tmp_path / "recipes" / "here")
    return write_recipe(tmp_path / "recipes", path_source("here"))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "config" / "cudawheel" / "keys"


def build(call: Call, recipe: Path, *more: str | Path) -> tuple[int, str, str]:
    wheelhouse = recipe.parent.parent / "wheelhouse"
    return call("build", recipe, "--toolchain", "system", "--wheelhouse", wheelhouse, "--json", *more)


def entry_of(tmp_path: Path) -> Path:
    (envelope,) = (tmp_path / "cache" / "store").glob("*/provenance.dsse.json")
    return envelope.parent


def test_a_key_is_made_once_and_shown(call: Call, keys: Path) -> None:
    code, out, _ = call("key", "new")
    assert code == 0
    assert str(keys / "default.key") in out
    assert (keys / "default.key").stat().st_mode & 0o777 == 0o600
    assert call("key", "new")[0] == 52
    code, shown, _ = call("key", "show")
    assert code == 0
    assert (keys / "default.pub").read_text().strip() in shown
    assert "PRIVATE" not in shown
    identifier = next(line.split()[1] for line in out.splitlines() if line.startswith("id"))
    assert identifier in shown
    assert "private half is not here" not in shown


@pytest.mark.parametrize("words", [("show",), ("show", "none"), ("new", "--name", "../up"), ("new", "--name", "")])
def test_what_is_no_key_is_said(words: tuple[str, ...], call: Call) -> None:
    code, out, err = call("key", *words)
    assert code in {2, 52}
    assert out == ""
    assert "error" in err


@pytest.mark.usefixtures("shared_environments")
def test_a_signed_wheel_passes_where_signatures_are_required(call: Call, recipe: Path, tmp_path: Path) -> None:
    call("key", "new")
    code, out, err = build(call, recipe, "--sign", "default")
    assert code == 0, err
    record = json.loads(out)
    assert Path(f"{record['path']}.provenance.json").is_file()
    assert call("cache", "check", "--require-signature")[0] == 0
    # Elsewhere the public key is all that is needed.
    public = tmp_path / "config" / "cudawheel" / "keys" / "default.pub"
    assert call("cache", "push", tmp_path / "remote")[0] == 0
    elsewhere = ("--cache", tmp_path / "elsewhere")
    assert call("cache", "pull", tmp_path / "remote", "--trust", public, *elsewhere)[0] == 0
    assert call("cache", "check", "--trust", public, *elsewhere)[0] == 0


@pytest.mark.usefixtures("shared_environments")
def test_the_setting_signs_as_the_option_does(
    call: Call, recipe: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("key", "new", "--name", "release")
    monkeypatch.setenv("CUDAWHEEL_SIGN", str(keys / "release.key"))
    record = json.loads(build(call, recipe)[1])
    assert Path(f"{record['path']}.provenance.json").is_file()


@pytest.mark.usefixtures("shared_environments")
def test_each_way_to_be_wrong_has_an_exit_code_of_its_own(call: Call, recipe: Path, tmp_path: Path, keys: Path) -> None:
    call("key", "new")
    call("key", "new", "--folder", tmp_path / "others")
    assert build(call, recipe)[0] == 0
    check = ("cache", "check", "--require-signature")
    assert call(*check)[0] == 54, "unsigned"
    assert build(call, recipe, "--sign", "default")[0] == 0
    assert call(*check)[0] == 0
    assert call("cache", "check", "--trust", tmp_path / "others" / "default.pub")[0] == 55, "an unknown key"
    envelope = entry_of(tmp_path) / "provenance.dsse.json"
    content = json.loads(envelope.read_text())
    content["payload"] = content["payload"].replace("A", "B", 1)
    genuine = envelope.read_text()
    envelope.write_text(json.dumps(content))
    assert call(*check)[0] == 56, "tampered with"
    # A genuine envelope, and that of another build.
    write_project(tmp_path / "recipes" / "here", module="answer = 43\n")
    envelope.unlink()
    assert build(call, recipe, "--sign", "default")[0] == 0
    (entry_of(tmp_path) / "provenance.dsse.json").write_text(genuine)
    envelope.write_text(genuine)
    assert call(*check)[0] == 57, "of another wheel"
    (keys / "default.pub").unlink()
    assert call(*check)[0] == 52, "nobody is trusted"


@pytest.mark.usefixtures("shared_environments")
def test_an_unsigned_wheel_is_not_pulled_where_signatures_are_required(
    call: Call, recipe: Path, tmp_path: Path
) -> None:
    call("key", "new")
    assert build(call, recipe)[0] == 0
    assert call("cache", "push", tmp_path / "remote")[0] == 0
    elsewhere = ("--cache", tmp_path / "elsewhere")
    assert call("cache", "pull", tmp_path / "remote", "--require-signature", *elsewhere)[0] != 0
    assert not list((tmp_path / "elsewhere").glob("store/*/*.whl"))
    assert call("cache", "pull", tmp_path / "remote", *elsewhere)[0] == 0
    assert len(list((tmp_path / "elsewhere").glob("store/*/*.whl"))) == 1


def test_a_lock_is_written_beside_the_recipe(call: Call, recipe: Path) -> None:
    assert build(call, recipe)[0] == 0
    lock = recipe.with_name("tiny.lock.toml")
    assert not lock.exists()
    assert build(call, recipe, "--lock")[0] == 0
    assert 'name = "torch"' in lock.read_text()
    record = json.loads(build(call, recipe)[1])
    assert (record["cached"], record["build"]["locked"]) == (True, True)
    assert json.loads(build(call, recipe, "--update-lock")[1])["cached"] is False


@pytest.mark.usefixtures("shared_environments")
def test_the_network_is_allowed_only_by_name(call: Call, recipe: Path) -> None:
    assert json.loads(build(call, recipe)[1])["build"]["network_allowed"] is False
    assert json.loads(build(call, recipe, "--network")[1])["build"]["network"] == "allowed by --network"
