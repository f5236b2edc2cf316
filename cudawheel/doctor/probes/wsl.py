"""The Windows Subsystem for Linux: which one, how much memory the computer has, and what .wslconfig says.

Sources: Microsoft's documentation, "Advanced settings configuration in WSL" (.wslconfig: section [wsl2], key `memory`,
a whole number with GB or MB; the default is half of the computer's memory).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from cudawheel.doctor.machine import Wsl, WslConfig
from cudawheel.doctor.world import World

# Windows programs are found by their place, since PATH holds them only where interop appends Windows' own.
_POWERSHELL = "/mnt/c/Windows/System32/WindowsPowerShell/v1.0/powershell.exe"
_QUESTION = (
    "[Console]::OutputEncoding=[Text.Encoding]::UTF8;"
    "(Get-CimInstance Win32_ComputerSystem).TotalPhysicalMemory;$env:USERPROFILE"
)
_POWERSHELL_SECONDS = 5.0
_USERS = "/mnt/c/Users"
_NOT_PEOPLE = {"all users", "default", "default user", "public", "desktop.ini"}
_SIZE = re.compile(r"(\d{1,9})\s*([KMGT])?B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def probe_wsl(world: World) -> Wsl | None:
    """Look at WSL; None on any other Linux."""
    version = world.text("/proc/version")
    if "microsoft" not in version.casefold():
        return None
    host_memory, profile = _ask_windows(world)
    candidates = [*([_linux_path(profile)] if profile else []), *_profiles(world)]
    config = next((found for folder in candidates if (found := _read_config(world, f"{folder}/.wslconfig"))), None)
    return Wsl(
        # WSL1 has no kernel of its own, and calls itself `...-Microsoft`.
        version=1 if "-Microsoft" in version and "WSL2" not in version else 2,
        gpu_device=any(path.name == "dxg" for path in world.listed("/dev")),
        host_memory=host_memory,
        profile=profile,
        config=config,
        booted=_boot_time(world),
    )


def _ask_windows(world: World) -> tuple[int | None, str]:
    """Give the computer's memory in bytes and the user's folder, as far as Windows answers."""
    answer = world.run(
        [_POWERSHELL, "-NoProfile", "-NonInteractive", "-Command", _QUESTION], timeout=_POWERSHELL_SECONDS
    )
    lines = [line.strip() for line in answer.output.splitlines() if line.strip()] if answer.ok else []
    memory = next((int(line) for line in lines if line.isdigit()), None)
    return memory, next((line for line in lines if re.match(r"[A-Za-z]:\\", line)), "")


def _linux_path(windows: str) -> str:
    path = PureWindowsPath(windows)
    return f"/mnt/{path.drive[:1].lower()}/{'/'.join(path.parts[1:])}"


def _profiles(world: World) -> Iterator[str]:
    for folder in world.listed(_USERS):
        if folder.name.casefold() not in _NOT_PEOPLE:
            yield f"{_USERS}/{folder.name}"


def _read_config(world: World, path: str) -> WslConfig | None:
    there = world.at(path)
    try:
        raw, modified = there.read_bytes(), there.stat().st_mtime
    except OSError:
        return None
    return read_config(path, _decode(raw), modified)


def _decode(raw: bytes) -> str:
    # Windows PowerShell's `>` writes UTF-16.
    wide = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    return raw.decode("utf-16" if wide else "utf-8-sig", errors="replace")


def read_config(path: str, text: str, modified: float | None) -> WslConfig:
    """Read the text of a .wslconfig.

    Args:
        path: where it lies, for whoever reads of it.
        text: its content.
        modified: when it was written.
    """
    section, memory, faults = "", None, []
    for line in text.splitlines():
        # A comment begins with # at the start of a line.
        key, equals, value = (part.strip() for part in line.partition("="))
        if line.lstrip().startswith("#"):
            continue
        if heading := re.fullmatch(r"\s*\[(.*)\]\s*", line):
            section = heading[1].strip().casefold()
        elif equals and key.casefold() == "memory":
            size = _SIZE.fullmatch(value)
            if section != "wsl2":
                faults.append(f"`memory` stands {f'under [{section}]' if section else 'above any section'}, not [wsl2]")
            elif size is None:
                faults.append(f"`memory={value}` is no whole number with GB or MB behind it")
            else:
                memory = int(size[1]) * _UNITS[(size[2] or "").upper()]
    return WslConfig(path=path, modified=modified, memory=memory, faults=tuple(faults))


def _boot_time(world: World) -> float | None:
    match = re.search(r"^btime (\d{1,12})$", world.text(Path("/proc/stat")), re.MULTILINE)
    return float(match[1]) if match else None
