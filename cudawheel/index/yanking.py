"""Withdrawing a wheel without taking it away (PEP 592): a small file beside it holds the reason.

Installers pass over a yanked wheel unless its version is asked for exactly. The file lies beside the wheel, so that it
is copied with it, needs no lock, and is seen by a running server.
"""

from __future__ import annotations

from pathlib import Path

from cudawheel.errors import UsageError
from cudawheel.files import disk_errors, write_atomically

ENDING = ".yanked"
"""What the reason's file has behind the wheel's name."""

_LONGEST = 4096


def yank(wheel: Path, reason: str = "") -> None:
    """Withdraw a wheel; one that is withdrawn already gets the new reason.

    Raises:
        UsageError: there is no such wheel, or the reason is longer than 4,096 letters.
        StoreError: the folder cannot be written.
    """
    require_wheel(wheel)
    line = " ".join(reason.split())
    if len(line) > _LONGEST:
        raise UsageError(f"the reason is {len(line)} letters long", remedy=f"Say it in {_LONGEST}.")
    with disk_errors(wheel.parent):
        write_atomically(_place(wheel), f"{line}\n".encode())


def unyank(wheel: Path) -> None:
    """Offer a wheel again.

    Raises:
        UsageError: there is no such wheel, or it was not withdrawn.
        StoreError: the folder cannot be written.
    """
    require_wheel(wheel)
    if not _place(wheel).exists():
        raise UsageError(f"{wheel.name} is not yanked", remedy="There is nothing to take back.")
    with disk_errors(wheel.parent):
        _place(wheel).unlink(missing_ok=True)


def read_reason(wheel: Path) -> str | None:
    """Give the reason for which a wheel was withdrawn, which may be empty, or None if it was not.

    A reason that cannot be read is an empty one: the wheel was withdrawn all the same.
    """
    try:
        with _place(wheel).open(encoding="utf-8", errors="replace") as file:
            return " ".join(file.read(_LONGEST).split())
    except FileNotFoundError:
        return None
    except OSError:
        return ""


def require_wheel(wheel: Path) -> None:
    """Make sure that there is such a wheel.

    Raises:
        UsageError: there is none.
    """
    if wheel.suffix != ".whl" or not wheel.is_file():
        raise UsageError(f"there is no wheel {wheel}", remedy="Name a .whl of the wheelhouse.")


def _place(wheel: Path) -> Path:
    return wheel.with_name(f"{wheel.name}{ENDING}")
