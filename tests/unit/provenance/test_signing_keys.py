"""Keys: made once, kept from others' eyes, read back, and refused where they are not what they should be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cudawheel.errors import ExtraMissingError, KeyFileError, StoreError
from cudawheel.provenance.keys import (
    find_private_key,
    load_private_key,
    load_public_key,
    new_key,
    trusted_keys,
)


def test_a_new_key_is_for_its_owners_eyes_only(tmp_path: Path) -> None:
    key = new_key(tmp_path / "keys")
    assert key.path == tmp_path / "keys" / "default.key"
    assert key.path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert key.path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE" not in (tmp_path / "keys" / "default.pub").read_text()


def test_both_halves_have_one_identifier_and_two_keys_have_two(tmp_path: Path) -> None:
    one, other = new_key(tmp_path, "one"), new_key(tmp_path, "other")
    assert load_public_key(tmp_path / "one.pub").identifier == one.public.identifier
    assert load_private_key(one.path).public.identifier == one.public.identifier
    assert one.public.identifier != other.public.identifier
    assert len(one.public.identifier) == 64


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    content = new_key(tmp_path).path.read_bytes()
    with pytest.raises(KeyFileError, match="already") as caught:
        new_key(tmp_path)
    assert (tmp_path / "default.key").read_bytes() == content
    assert "--name" in caught.value.remedy


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        new_key(tmp_path / "file" / "keys")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_private_key_that_others_can_reach_is_refused(mode: int, tmp_path: Path) -> None:
    key = new_key(tmp_path)
    key.path.chmod(mode)
    with pytest.raises(KeyFileError, match="others can read") as caught:
        load_private_key(key.path)
    assert f"chmod 600 {key.path}" in caught.value.remedy
    key.path.chmod(0o600)
    load_private_key(key.path)


def write_private(path: Path, content: bytes) -> Path:
    path.touch(0o600)
    path.write_bytes(content)
    return path


def rsa_pem() -> bytes:
    return rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def with_password() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )


@pytest.mark.parametrize("make", [lambda: b"", lambda: b"\xff not a key", rsa_pem, with_password])
def test_a_file_that_is_no_such_private_key_is_said(make, tmp_path: Path) -> None:
    path = write_private(tmp_path / "wrong.key", make())
    with pytest.raises(KeyFileError, match="is no ed25519 private key") as caught:
        load_private_key(path)
    assert caught.value.exit_code == 52


def test_a_private_key_is_no_public_key(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="is no ed25519 public key"):
        load_public_key(new_key(tmp_path).path)


def test_a_key_that_is_missing_is_said(tmp_path: Path) -> None:
    for load in (load_private_key, load_public_key):
        with pytest.raises(KeyFileError, match="cannot read"):
            load(tmp_path / "gone")


def test_a_key_is_named_by_its_name_or_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    keys = tmp_path / "keys"
    assert find_private_key("release", keys) == keys / "release.key"
    assert find_private_key("elsewhere/release", keys) == Path("elsewhere/release")
    (tmp_path / "release").write_text("")
    assert find_private_key("release", keys) == Path("release")


def test_without_a_choice_ones_own_keys_are_trusted(tmp_path: Path) -> None:
    one, other = new_key(tmp_path / "keys", "one"), new_key(tmp_path / "elsewhere", "other")
    assert [key.identifier for key in trusted_keys((), tmp_path / "keys")] == [one.public.identifier]
    chosen = trusted_keys((tmp_path / "elsewhere" / "other.pub",), tmp_path / "keys")
    assert [key.identifier for key in chosen] == [other.public.identifier]


def test_trusting_nobody_is_an_error_and_no_pass(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="no key is trusted") as caught:
        trusted_keys((), tmp_path)
    assert "--trust" in caught.value.remedy


def test_without_the_extra_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key(tmp_path)
    # What an import finds when a package is not there.
    for name in [name for name in sys.modules if name.startswith("securesystemslib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "securesystemslib", None)
    with pytest.raises(ExtraMissingError) as caught:
        load_private_key(key.path)
    assert "[sign]" in caught.value.remedy
