"""A shared object as a value: its processor, what it links to, what it left in from debugging, and its device code."""

from __future__ import annotations

import contextlib
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from elftools.common.exceptions import DWARFError, ELFError, ELFParseError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from cudawheel.audit.fatbin import SECTION, EntryKind, FatbinContainer, capabilities_of, read_fatbin
from cudawheel.audit.linkage import Linkage, read_linkage
from cudawheel.errors import WheelError
from cudawheel.model.capability_set import CapabilitySet, Gencode

_ELF_MAGIC = b"\x7fELF"
_DEBUG_PREFIXES = (".debug_", ".zdebug_")

# What pyelftools raises over a damaged file, found by fuzzing it; it has no error of its own for most damage.
_DAMAGE = (
    ELFError,
    ELFParseError,
    DWARFError,
    ConstructError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCode:
    """The device code of one shared object."""

    containers: tuple[FatbinContainer, ...] = field(default=(), repr=False)

    @property
    def coded(self) -> tuple[FatbinContainer, ...]:
        """The containers with a kernel or function in them; the others only look like device code."""
        return tuple(container for container in self.containers if container.has_code)

    @property
    def capabilities(self) -> CapabilitySet:
        """What the kernels were compiled for."""
        return capabilities_of(entry for container in self.coded for entry in container.entries)

    def count(self) -> dict[Gencode, int]:
        """Count the entries of each kind and capability, containers without code left out."""
        return dict(
            sorted(
                Counter(
                    Gencode(entry.capability, ptx=entry.kind is EntryKind.PTX)
                    for container in self.coded
                    for entry in container.entries
                    if entry.kind is not EntryKind.OTHER
                ).items()
            )
        )

    @property
    def partial(self) -> CapabilitySet:
        """Capabilities that some kernels were compiled for and others were not.

        It is no fault by itself, since code for one chip alone often stands beside code for all; it is one where a
        source file was left out of the capability list.
        """
        missing = CapabilitySet()
        for container in self.coded:
            missing |= self.capabilities - container.capabilities
        return missing


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedObject:
    """One ELF file.

    Attributes:
        name: its path in the wheel or folder.
        machine: the processor, as platform tags write it: `x86_64`, `aarch64`.
        linkage: libraries and symbols.
        debug_sections: names of the sections that only a debugger reads.
        device_code: what runs on GPUs.
    """

    name: str
    machine: str
    linkage: Linkage
    debug_sections: tuple[str, ...] = ()
    device_code: DeviceCode = field(default_factory=DeviceCode)

    @classmethod
    def read(cls, path: Path, name: str = "") -> SharedObject:
        """Read a shared object; the cost follows its symbols and fatbin entries, not its size.

        Args:
            path: the file.
            name: how reports call it, if not by its file's name.

        Raises:
            WheelError: the file is missing, is not ELF, or is damaged.
        """
        called = name or path.name
        with open_elf(path, called) as (stream, elf):
            return cls(
                name=called,
                machine=_machine(elf),
                linkage=read_linkage(elf),
                debug_sections=tuple(
                    section.name for section in elf.iter_sections() if section.name.startswith(_DEBUG_PREFIXES)
                ),
                device_code=_read_device_code(stream, elf, called),
            )


@contextlib.contextmanager
def open_elf(path: Path, name: str) -> Iterator[tuple[BinaryIO, ELFFile]]:
    """Open an ELF file, turning every way in which it can be damaged into one error.

    Raises:
        WheelError: the file is missing, is not ELF, or what is read inside the block is damaged.
    """
    try:
        with path.open("rb", buffering=0) as stream:
            if stream.read(len(_ELF_MAGIC)) != _ELF_MAGIC:
                raise WheelError(f"{name} is not an ELF file", remedy="Name a shared object (.so) or a wheel (.whl).")
            yield stream, ELFFile(stream)
    except FileNotFoundError as missing:
        raise WheelError(f"{path} does not exist", remedy="Check the path.") from missing
    except _DAMAGE as damage:
        raise WheelError(
            f"{name} is a damaged ELF file",
            why=f"{type(damage).__name__}: {damage}",
            remedy="Build the wheel again; if a linker or strip wrote it so, report it.",
        ) from damage


def is_elf(start: bytes) -> bool:
    """Whether a file that begins with these bytes is an ELF file."""
    return start.startswith(_ELF_MAGIC)


def _machine(elf: ELFFile) -> str:
    """Spell the processor as platform tags do; those whose tag is not ELF's own name in small letters are listed."""
    known = {"EM_386": "i686", "EM_PPC64": "ppc64le" if elf.little_endian else "ppc64", "EM_S390": "s390x"}
    code = str(elf["e_machine"])
    return known.get(code, code.removeprefix("EM_").lower())


def _read_device_code(stream: BinaryIO, elf: ELFFile, name: str) -> DeviceCode:
    section = elf.get_section_by_name(SECTION)
    if section is None:
        return DeviceCode()
    where = f"section {SECTION} of {name}"
    return DeviceCode(containers=read_fatbin(stream, start=section["sh_offset"], size=section["sh_size"], where=where))
