"""What all errors have in common, and those of any command."""

from __future__ import annotations

from typing import ClassVar

from cudawheel.errors.origin import install_command


class CudawheelError(Exception):
    """Base of all errors that cudawheel raises on purpose.

    Args:
        what: what happened, one sentence that names the file, field or variable.
        why: what was found, as evidence.
        remedy: what the reader can do now.
    """

    exit_code: ClassVar[int] = 1
    title: ClassVar[str] = "cudawheel failed"

    def __init__(self, what: str, *, why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        return "\n".join(part for part in (self.what, self.why, self.remedy) if part)


class UsageError(CudawheelError):
    """The command line asks for something that does not exist."""

    exit_code = 2
    title = "wrong usage"


class ExtraMissingError(CudawheelError):
    """A command needs packages that an extra of cudawheel brings, and they are not installed.

    Args:
        what: what happened.
        why: what was found.
        extra: the extra that brings them.
        otherwise: what can be done instead.
    """

    exit_code = 30
    title = "extra not installed"

    def __init__(self, what: str, *, why: str = "", extra: str, otherwise: str = "") -> None:
        remedy = f"{install_command(extra)}; or {otherwise}" if otherwise else install_command(extra)
        super().__init__(what, why=why, remedy=remedy)


class InterruptedBuildError(CudawheelError):
    """Ctrl-C, or a termination signal."""

    exit_code = 130
    title = "interrupted"
