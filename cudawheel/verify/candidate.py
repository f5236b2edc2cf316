"""A wheel that is to be verified: what it says of itself, and the Python and torch that it is for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import canonicalize_name

from cudawheel.audit.inspection import inspect_wheel
from cudawheel.errors import CudawheelError, VerificationSetupError
from cudawheel.files import sha256_of
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.version import PythonVersion
from cudawheel.wheel.reading import Wheel

_ORIGIN = "cudawheel.json"
_TORCH_OF_VARIANT = re.compile(r"-torch(\d+\.\d+)-")
_CPYTHON = re.compile(r"cp3(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is known of a wheel before anything of it runs.

    Attributes:
        wheel: the file, read.
        sha256: its hash.
        capabilities: what its device code was compiled for.
        recipe: file name of the recipe that it was built from; empty if it does not say.
        source: label of the recipe's source; empty if it does not say.
        torch: the torch release that it was built against, such as `2.11`; empty if it does not say.
    """

    wheel: Wheel
    sha256: str
    capabilities: CapabilitySet
    recipe: str = ""
    source: str = ""
    torch: str = ""

    @classmethod
    def read(cls, path: Path) -> Candidate:
        """Read a wheel.

        Raises:
            WheelError: it is missing, damaged or no wheel.
        """
        wheel = Wheel.read(path)
        origin = _origin(wheel)
        found = _TORCH_OF_VARIANT.search(origin.get("variant", ""))
        return cls(
            wheel=wheel,
            sha256=sha256_of(path),
            capabilities=inspect_wheel(wheel).capabilities,
            recipe=origin.get("recipe", ""),
            source=origin.get("source", ""),
            torch=found[1] if found else "",
        )

    def python(self, running: PythonVersion) -> PythonVersion:
        """Give the Python that it is to run on: the running one where it fits, else the oldest that does.

        Raises:
            VerificationSetupError: no CPython can install it.
        """
        fitting = sorted(minor for tag in self.wheel.tags for minor in _minors(tag, running.minor))
        if not fitting:
            raise VerificationSetupError(
                f"{self.wheel.path.name} is for no CPython",
                why=f"Its tags are {', '.join(sorted(map(str, self.wheel.tags)))}.",
                remedy="Name a wheel for CPython 3.10 or later on Linux.",
            )
        return PythonVersion(3, running.minor if running.minor in fitting else fitting[0])


def _minors(tag: Tag, running: int) -> tuple[int, ...]:
    """Give the minors of CPython that a tag is for, as far as they matter here."""
    found = _CPYTHON.fullmatch(tag.interpreter)
    if found is None:
        return (running,) if tag.interpreter in {"py3", "py2.py3"} else ()
    least = int(found[1])
    return (max(least, running),) if tag.abi == "abi3" else (least,)


def _origin(wheel: Wheel) -> Mapping[str, str]:
    """Read what cudawheel wrote into a wheel that it made; nothing for anybody else's."""
    try:
        with wheel.open(f"{wheel.dist_info}/{_ORIGIN}") as file:
            said = json.load(file)
    except (CudawheelError, ValueError):
        return {}
    return {name: value for name, value in said.items() if isinstance(value, str)} if isinstance(said, dict) else {}


def find_candidates(subject: str, wheelhouse: Path) -> tuple[Path, ...]:
    """Give the wheel of that path, or all of that name in the wheelhouse and below it, the newest first.

    Raises:
        VerificationSetupError: there is none.
    """
    path = Path(subject)
    if path.suffix == ".whl" or path.is_file():
        return (path,)
    name = canonicalize_name(subject)
    found = [wheel for wheel in wheelhouse.rglob("*.whl") if canonicalize_name(wheel.name.split("-")[0]) == name]
    if not found:
        raise VerificationSetupError(
            f"{wheelhouse} holds no wheel of {subject}",
            remedy=f"Build one: cudawheel build recipes/{subject}.toml. Or name a wheel by its path.",
        )
    return tuple(sorted(found, key=lambda wheel: wheel.stat().st_mtime, reverse=True))
