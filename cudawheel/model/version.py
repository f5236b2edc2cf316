"""Versions of CUDA, torch and Python as far as a plan needs them: major and minor."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Self

from cudawheel.errors import UsageError

# Behind the minor number: further numbers, a local part, or one of PEP 440's pre-releases. `3.13t` is something else.
_SPELLING = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(?:\d|dev|post).*|\+.+|(?:a|b|rc)\d.*)?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class MinorVersion:
    """A version down to its minor number; anything behind that is dropped on parsing."""

    major: int
    minor: int

    what: ClassVar[str] = "version"
    example: ClassVar[str] = "1.0"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `13.0`, `13.0.2` or `13.0.88+x`.

        Raises:
            UsageError: it does not start with two numbers, or goes on as no version does.
        """
        match = _SPELLING.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"{text!r} is not a {cls.what}", remedy=f"Write major and minor, such as {cls.example}.")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


class CudaVersion(MinorVersion):
    """A CUDA toolkit release."""

    __slots__ = ()
    what = "CUDA version"
    example = "13.0"

    @property
    def channel(self) -> str:
        """The name PyTorch gives a build for this CUDA: `cu130`."""
        return f"cu{self.major}{self.minor}"


class TorchVersion(MinorVersion):
    """A torch release; its C++ ABI changes with each minor one."""

    __slots__ = ()
    what = "torch version"
    example = "2.11"


class PythonVersion(MinorVersion):
    """A CPython release."""

    __slots__ = ()
    what = "Python version"
    example = "3.12"

    @property
    def tag(self) -> str:
        """The interpreter's tag in a wheel's name: `cp312`."""
        return f"cp{self.major}{self.minor}"
