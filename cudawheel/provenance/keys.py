"""Keys for signing: ed25519, in PEM files that OpenSSL reads too.

cryptography and securesystemslib come with `cudawheel[sign]` and are imported when a key is used, never before.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cudawheel.errors import ExtraMissingError, KeyFileError
from cudawheel.files import disk_errors

DEFAULT_NAME = "default"
PRIVATE, PUBLIC = ".key", ".pub"
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key that signatures are checked with.

    Attributes:
        path: the file that it was read from.
        identifier: 64 hex digits, the same for the same key wherever it lies.
        key: as securesystemslib has it.
    """

    path: Path
    identifier: str
    key: Any = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKey:
    """A key that signatures are made with.

    Attributes:
        path: the file that it was read from.
        public: its other half.
        signer: as securesystemslib has it.
    """

    path: Path
    public: PublicKey
    signer: Any = field(repr=False)


def new_key(folder: Path, name: str = DEFAULT_NAME) -> PrivateKey:
    """Make a key, its private half for its owner's eyes only, and the public half beside it.

    Raises:
        KeyFileError: there is a key of that name, which is never replaced.
        StoreError: the folder cannot be written.
        ExtraMissingError: `cudawheel[sign]` is not installed.
    """
    private_path, public_path = folder / f"{name}{PRIVATE}", folder / f"{name}{PUBLIC}"
    with _libraries():
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    secret = Ed25519PrivateKey.generate()
    private = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = secret.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with disk_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, content, mode in ((private_path, private, 0o600), (public_path, public, 0o644)):
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            except FileExistsError as there:
                raise KeyFileError(
                    f"there is a key {path} already",
                    why="A key that is replaced cannot sign again, and what it signed is all that is left of it.",
                    remedy="Give the new key another name with --name, or move the old one away.",
                ) from there
            with os.fdopen(handle, "wb") as sink:
                sink.write(content)
    return load_private_key(private_path)


def load_private_key(path: Path) -> PrivateKey:
    """Read a private key.

    Raises:
        KeyFileError: it is missing, is no ed25519 key, needs a password, or others can read it.
        ExtraMissingError: `cudawheel[sign]` is not installed.
    """
    with _libraries():
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
        from securesystemslib.signer import CryptoSigner, SSlibKey  # noqa: PLC0415
    content = _read(path, "private key")
    if path.stat().st_mode & _FOR_OTHERS:
        raise KeyFileError(
            f"others can read the private key {path}",
            why=f"its mode is {stat.filemode(path.stat().st_mode)}",
            remedy=f"Take that away: chmod 600 {path}. If somebody may have read it, make a new key.",
        )
    with _unreadable(path, "private key"):
        secret = load_pem_private_key(content, None)
        public = SSlibKey.from_crypto(secret.public_key())
        _require_ed25519(public.keytype)
    half = PublicKey(path=path, identifier=public.keyid, key=public)
    return PrivateKey(path=path, public=half, signer=CryptoSigner(secret, public))


def load_public_key(path: Path) -> PublicKey:
    """Read a public key.

    Raises:
        KeyFileError: it is missing, or is no ed25519 key.
        ExtraMissingError: `cudawheel[sign]` is not installed.
    """
    with _libraries():
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
        from securesystemslib.signer import SSlibKey  # noqa: PLC0415
    content = _read(path, "public key")
    with _unreadable(path, "public key"):
        key = SSlibKey.from_crypto(load_pem_public_key(content))
        _require_ed25519(key.keytype)
    return PublicKey(path=path, identifier=key.keyid, key=key)


def find_private_key(text: str, folder: Path) -> Path:
    """Say which file a person means: one that they name, or a key of theirs by its name."""
    named = folder / f"{text}{PRIVATE}"
    return named if "/" not in text and not Path(text).is_file() else Path(text)


def trusted_keys(chosen: Sequence[Path], folder: Path) -> tuple[PublicKey, ...]:
    """Read the keys that are trusted: those that a person names, else their own, which lie in `folder`.

    Raises:
        KeyFileError: one cannot be read, or there is none.
        ExtraMissingError: `cudawheel[sign]` is not installed.
    """
    paths = tuple(chosen) or tuple(sorted(folder.glob(f"*{PUBLIC}")))
    if not paths:
        raise KeyFileError(
            "no key is trusted, so that no signature can be checked",
            why=f"none was named, and {folder} holds no public key",
            remedy="Name the public key of whoever built the wheels with --trust, or make a key: cudawheel key new.",
        )
    return tuple(load_public_key(path) for path in paths)


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(
            f"cannot read the {what} {path}",
            why=error.strerror or str(error),
            remedy="Name a key file, or make a key: cudawheel key new.",
        ) from error


def _require_ed25519(kind: str) -> None:
    if kind != "ed25519":
        message = f"its kind is {kind}"
        raise ValueError(message)


@contextlib.contextmanager
def _unreadable(path: Path, what: str) -> Iterator[None]:
    """Turn what cryptography says of a file that is no such key into one error."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    try:
        yield
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"{path} is no ed25519 {what}",
            why=str(error),
            remedy="It has to be a PEM file without a password, as `cudawheel key new` writes it.",
        ) from error


@contextlib.contextmanager
def _libraries() -> Iterator[None]:
    try:
        yield
    except ImportError as missing:
        raise ExtraMissingError(
            "signatures need a package that is not installed",
            why=str(missing),
            extra="sign",
        ) from missing
