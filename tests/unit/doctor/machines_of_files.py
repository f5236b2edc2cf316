"""Machines made of files: a data file below `machines/` says what is on one; a `World` of it is made in a folder."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cudawheel.audit.fatbin import MAGIC, SECTION
from cudawheel.doctor.world import World
from cudawheel.model.capability import ComputeCapability
from cudawheel.process import NOT_FOUND, Finished
from cudawheel.schedule.limits import GIB

FOLDER = Path(__file__).parent / "machines"
PYTHON = "/home/ada/venv/bin/python"
SITE = "/home/ada/venv/lib/python3.12/site-packages"
_FLAGS = {"": 0x1000011, "a": 0x1100011, "f": 0x1200011}
_ZSTD = 0x8000


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def describe(name: str) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return described


def make_world(root: Path, described: Mapping[str, Any]) -> World:
    """Write a machine below `root`, and give it as probes see it."""
    write_files(root, {"/proc/version": "Linux version 6.8.0-generic (gcc 13.2)", "/proc/self/cgroup": "0::/"})
    write_files(root, {"/proc/stat": f"cpu 1 2 3\nbtime {described.get('booted', 1_760_000_000)}"})
    if "memory_gib" in described:
        write_memory(root, **described["memory_gib"])
    write_files(root, described.get("files", {}))
    for path, seconds in described.get("modified", {}).items():
        os.utime(root / path.lstrip("/"), (seconds, seconds))
    programs = {**answers(described), **described.get("programs", {})}
    for command in programs:
        write_program(root, command.split(" ")[0])
    for site, torch in described.get("torch", {}).items():
        write_torch(root / site.lstrip("/"), **torch)
    for package in described.get("packages", ()):
        write_package(root / SITE.lstrip("/"), **package)
    return World(
        root=root,
        environ={"PATH": "/usr/local/bin:/usr/bin", "HOME": "/home/ada", **described.get("environ", {})},
        run=make_run(programs),
        nvml=make_nvml(described.get("nvml", {"error": [12, "NVML Shared Library Not Found"]})),
        connect=lambda host, _port: described.get("unreachable", {}).get(host, ""),
        running=PYTHON,
        system=described.get("system", "Ubuntu 24.04, Linux 6.8"),
        processor="x86_64",
    )


def answers(described: Mapping[str, Any]) -> dict[str, str]:
    """Give what programs say: the environment's Python, and the toolkits and compilers in short form."""
    said = {f"{PYTHON} -I -c": json.dumps({"version": "3.12.3", "sites": [SITE]})}
    for home, toolkit in described.get("toolkits", {}).items():
        codes = "".join(f"sm_{code}\n" for code in toolkit["codes"])
        said[f"{home}/bin/nvcc --version"] = f"Cuda tools, release {toolkit['version']}, V{toolkit['release']}"
        said[f"{home}/bin/nvcc --list-gpu-code"] = codes
    for path, version in described.get("compilers", {}).items():
        macros = zip(("__GNUC__", "__GNUC_MINOR__", "__GNUC_PATCHLEVEL__"), version.split("."), strict=True)
        said[f"{path} -dM -E"] = "\n".join(f"#define {name} {number}" for name, number in macros)
    return said


def make_run(programs: Mapping[str, str]) -> Callable[..., Finished]:
    """Give a runner that knows what programs say by the beginning of their command lines."""

    def run(command: Sequence[str], *, timeout: float = 10.0) -> Finished:
        del timeout
        line = " ".join(command)
        said = next((text for start, text in programs.items() if line.startswith(start)), None)
        code = NOT_FOUND if said is None else 1 if said.startswith("FAILS ") else 0
        output = f"no such program: {command[0]}" if said is None else said.removeprefix("FAILS ")
        return Finished(command=tuple(command), code=code, output=output, seconds=0.5)

    return run


class FakeNvmlError(Exception):
    """As the library's own: a number and a text."""

    def __init__(self, value: int, text: str) -> None:
        super().__init__(text)
        self.value = value


def make_nvml(described: Mapping[str, Any]) -> Callable[[], Any]:
    """Give NVIDIA's library as far as it is asked, or its absence."""

    def fail(error: Sequence[Any] | None) -> None:
        if error is not None:
            raise FakeNvmlError(*error)

    def field(index: int, name: str) -> Any:
        gpu = described["gpus"][index]
        fail(gpu.get("error"))
        return gpu[name]

    def handle(index: int) -> int:
        fail(described["gpus"][index].get("lost"))
        return index

    def count() -> int:
        fail(described.get("count_error"))
        return len(described.get("gpus", ()))

    library = SimpleNamespace(
        nvmlInit=lambda: fail(described.get("error")),
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: described["driver"],
        nvmlSystemGetCudaDriverVersion=lambda: described["cuda"],
        nvmlDeviceGetCount=count,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetName=lambda index: field(index, "name"),
        nvmlDeviceGetCudaComputeCapability=lambda index: field(index, "capability"),
        nvmlDeviceGetMemoryInfo=lambda index: SimpleNamespace(total=field(index, "memory_gib") * GIB),
    )
    return lambda: library


def write_files(root: Path, files: Mapping[str, str | list[str]]) -> None:
    for name, content in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else "\n".join(content)
        path.write_text(f"{text}\n", encoding="utf-8")


def write_memory(root: Path, *, total: float, available: float, swap: float = 0) -> None:
    fields = {"MemTotal": total, "MemFree": available / 2, "MemAvailable": available, "SwapTotal": swap}
    lines = [f"{name}:       {int(size * GIB) // 1024} kB" for name, size in fields.items()]
    write_files(root, {"/proc/meminfo": lines})


def write_program(root: Path, path: str) -> None:
    write_files(root, {path: "#!/bin/false"})
    (root / path.lstrip("/")).chmod(0o755)


def write_torch(
    site: Path, *, version: str, cuda: str | None = None, carries: str = "", ptx: str = "", damage: str = ""
) -> None:
    """Write a torch: version.py, and a library with device code of 9 kernels for all and one for a chip alone."""
    library = site / "torch" / "lib" / "libtorch_cuda.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"__version__ = '{version}'", f"cuda: Optional[str] = {cuda!r}", "hip: Optional[str] = None"]
    (site / "torch" / "version.py").write_text("\n".join(lines), encoding="utf-8")
    if cuda is not None and damage != "no library":
        containers = [make_container(carries, ptx)] * 9 + [make_container("9.0a")]
        data = make_elf(b"".join(containers))
        library.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    if damage == "no version":
        (site / "torch" / "version.py").unlink()


def write_package(site: Path, *, name: str, version: str, files: Mapping[str, Sequence[str]]) -> None:
    """Write an installed distribution: of each file what it carries, and the PTX."""
    record = site / f"{name}-{version}.dist-info" / "RECORD"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text("".join(f"{file},sha256=x,1\n" for file in files), encoding="utf-8")
    for file, (carries, ptx) in files.items():
        path = site / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_elf(make_container(carries, ptx) if carries or ptx else b""))


def make_container(cubins: str, ptx: str = "") -> bytes:
    """Write a container with compressed machine code and PTX for capabilities such as `8.0 9.0a`."""
    entries = b"".join(_entry(2, word, 4096) for word in cubins.split())
    entries += b"".join(_entry(1, word, 4096) for word in ptx.split())
    return struct.pack("<IHHQ", MAGIC, 1, 16, len(entries)) + entries


def _entry(kind: int, word: str, unpacked: int) -> bytes:
    capability = ComputeCapability.parse(word)
    number, flags = capability.major * 10 + capability.minor, _FLAGS[capability.suffix] | _ZSTD
    payload = bytes(8)
    sizes = struct.pack("<HHIQI", kind, 0x0101, 64, len(payload), len(payload))
    return sizes + struct.pack("<IIIIIQQQ", 0, 0x10008, number, 0, 0, flags, 0, unpacked) + payload


def make_elf(fatbin: bytes, sections: Iterable[str] = (SECTION,)) -> bytes:
    """Write an ELF file with nothing in it but a section of device code; without device code not even that."""
    wanted = [name for name in sections if fatbin]
    text = b"\0" + b"".join(name.encode() + b"\0" for name in [*wanted, ".shstrtab"])
    table = 64 + len(fatbin) + len(text)
    rows = [bytes(64)]
    rows += [_row(text.index(name.encode() + b"\0"), 1, 64, len(fatbin)) for name in wanted]
    rows.append(_row(text.index(b".shstrtab\0"), 3, 64 + len(fatbin), len(text)))
    header = b"\x7fELF\x02\x01\x01" + bytes(33) + struct.pack("<Q", table) + bytes(10)
    header += struct.pack("<HHH", 64, len(rows), len(rows) - 1)
    return header + fatbin + text + b"".join(rows)


def _row(name: int, kind: int, offset: int, size: int) -> bytes:
    return struct.pack("<II16xQQ24x", name, kind, offset, size)
