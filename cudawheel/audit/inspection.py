"""What a wheel, a shared object, or the folder of an installed package carries, object by object."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cudawheel.audit.shared_object import SharedObject, is_elf
from cudawheel.errors import WheelError
from cudawheel.model.capability import ComputeCapability, Support
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.wheel.archive import open_archive
from cudawheel.wheel.reading import Wheel

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEST_FIRST = (Support.NATIVE, Support.PTX, Support.NONE)
_MAGIC_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """The ELF files of one wheel, file or folder.

    Attributes:
        path: what was inspected.
        objects: its ELF files, by name.
    """

    path: Path
    objects: tuple[SharedObject, ...]

    @property
    def coded(self) -> tuple[SharedObject, ...]:
        """The objects with device code in them."""
        return tuple(item for item in self.objects if item.device_code.coded)

    @property
    def capabilities(self) -> CapabilitySet:
        """All that any of the objects was compiled for."""
        found = CapabilitySet()
        for item in self.objects:
            found |= item.device_code.capabilities
        return found

    def support(self, gpu: ComputeCapability) -> Support | None:
        """How a GPU runs it: as the weakest object with device code does; None where there is no device code."""
        levels = [item.device_code.capabilities.support(gpu) for item in self.coded]
        return max(levels, key=_BEST_FIRST.index, default=None)


def inspect(path: Path) -> Inspection:
    """Inspect a wheel, a shared object, or every shared object below a folder.

    In a wheel every member is looked at; below a folder only files with `.so` in their names, links left out.

    Raises:
        WheelError: there is nothing at that path, or what is there is damaged or neither a wheel nor ELF.
    """
    if path.is_dir():
        return Inspection(path=path, objects=tuple(_inspect_folder(path)))
    if path.suffix == ".whl":
        return inspect_wheel(Wheel.read(path))
    return Inspection(path=path, objects=(SharedObject.read(path),))


def inspect_wheel(wheel: Wheel) -> Inspection:
    """Inspect a wheel that has been read already.

    Raises:
        WheelError: a member is damaged.
    """
    with open_archive(wheel.path) as archive:
        names = []
        for member in wheel.members:
            with archive.open(member.name) as source:
                if is_elf(source.read(_MAGIC_BYTES)):
                    names.append(member.name)
    with tempfile.TemporaryDirectory(prefix="cudawheel-inspect-") as folder:
        objects = tuple(
            SharedObject.read(found, _relative(found, folder)) for found in wheel.extract(Path(folder), names)
        )
    return Inspection(path=wheel.path, objects=objects)


def _inspect_folder(folder: Path) -> Iterator[SharedObject]:
    for path in sorted(folder.rglob("*.so*")):
        if path.is_symlink() or not path.is_file():
            continue
        try:
            with path.open("rb") as stream:
                found = is_elf(stream.read(_MAGIC_BYTES))
        except OSError as fault:
            raise WheelError(f"{path} cannot be read", why=str(fault), remedy="Check its permissions.") from fault
        if found:
            yield SharedObject.read(path, _relative(path, folder))


def _relative(path: Path, folder: Path | str) -> str:
    return path.relative_to(folder).as_posix()
