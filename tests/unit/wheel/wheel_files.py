"""Wheels written by hand, good ones and bad ones."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path

from cudawheel.wheel.record import RecordRow, compute_digest, write_record

INFO = "demo_ext-1.0.dist-info"
METADATA = b"""Metadata-Version: 2.1
Name: demo-ext
Version: 1.0
Requires-Dist: numpy>=1.26
Requires-Dist: Torch (>=2.0)
Requires-Dist: torch>=2 ; extra == "dev"
Requires-Dist: torchvision
Classifier: Private :: Do Not Upload
Description-Content-Type: text/markdown

# demo

Version: not a header
"""
WHEEL = b"""Wheel-Version: 1.0
Generator: by hand
Root-Is-Purelib: false
Tag: cp312-cp312-linux_x86_64
"""
FILES = {
    "demo_ext/__init__.py": b"answer = 42\n",
    "demo_ext/_C.so": b"not really machine code" * 999,
    "demo_ext-1.0.data/scripts/demo": b"#!python\nprint('demo')\n",
    f"{INFO}/METADATA": METADATA,
    f"{INFO}/WHEEL": WHEEL,
    f"{INFO}/licenses/LICENSE": b"do what you like\n",
}


def record_of(files: Iterable[tuple[str, bytes]], info: str = INFO) -> bytes:
    rows = []
    for name, data in files:
        digest, size = compute_digest(io.BytesIO(data))
        rows.append(RecordRow(path=name, digest=digest, size=str(size)))
    return write_record((*rows, RecordRow(path=f"{info}/RECORD")))


def write_wheel(
    folder: Path,
    files: Iterable[tuple[str, bytes]] = tuple(FILES.items()),
    *,
    name: str = "demo_ext-1.0-cp312-cp312-linux_x86_64.whl",
    date: tuple[int, int, int, int, int, int] = (2026, 11, 23, 12, 0, 0),
    record: bytes | None = None,
    mode: int = 0o664,
    compression: int = zipfile.ZIP_DEFLATED,
) -> Path:
    """Write members in the order given, names as they are, however bad."""
    path = folder / name
    members = [*files, (f"{INFO}/RECORD", record_of(files) if record is None else record)]
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members:
            info = zipfile.ZipInfo("placeholder", date)
            info.filename = member  # behind the back of ZipInfo, which tidies names up
            info.external_attr = (mode if stat.S_IFMT(mode) else stat.S_IFREG | mode) << 16
            info.compress_type = compression
            archive.writestr(info, data)
    return path
