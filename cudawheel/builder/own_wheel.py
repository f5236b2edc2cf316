"""A wheel of cudawheel itself, made from the running installation.

Packages whose build backend is `cudawheel.backend` need it in their isolated build environment. The running code is
the right one, whether it was installed from a wheel or is an editable checkout, so it is packed as it stands.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import cudawheel
from cudawheel.builder.tree import source_files, tree_hash
from cudawheel.files import write_atomically

_EPOCH = (1980, 1, 1, 0, 0, 0)


def own_wheel(folder: Path) -> Path:
    """Write `cudawheel-X-py3-none-any.whl` into a subfolder named by its content, unless it lies there already."""
    name, content = _whole()
    path = folder / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return path


@cache
def own_code() -> str:
    """Hash the code of this cudawheel, which is part of every fingerprint; gives 64 hex digits.

    It is read once: what runs is what was there at the start, and a matrix asks for it with every cell.
    """
    return tree_hash(Path(cudawheel.__file__).parent)


@cache
def _whole() -> tuple[str, bytes]:
    """Give path and content of the wheel; once, as it lies beside every wheel that is delivered."""
    version = distribution("cudawheel").version
    members = _members(f"cudawheel-{version}.dist-info")
    # RECORD, the last of them, holds the hashes of all others.
    record = next(reversed(members.values()))
    return f"{hashlib.sha256(record).hexdigest()[:16]}/cudawheel-{version}-py3-none-any.whl", _pack(members)


def _members(info: str) -> dict[str, bytes]:
    package = Path(cudawheel.__file__).parent
    files = (path for path in source_files(package) if path.is_file())
    members = {f"cudawheel/{path.relative_to(package)}": path.read_bytes() for path in files}
    members[f"{info}/METADATA"] = _metadata()
    members[f"{info}/entry_points.txt"] = b"[console_scripts]\ncudawheel = cudawheel.cli.main:run\n"
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: cudawheel\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    members[f"{info}/RECORD"] = _record(members, f"{info}/RECORD")
    return members


def _pack(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, _EPOCH)
            member.external_attr = 0o100644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(member, content)
    return buffer.getvalue()


def _metadata() -> bytes:
    # Not `.metadata`: the email message that it is cannot be turned back into bytes beyond ASCII.
    return (distribution("cudawheel").read_text("METADATA") or "").encode()


def _record(members: dict[str, bytes], record: str) -> bytes:
    rows = [f"{name},sha256={_urlsafe(content)},{len(content)}" for name, content in members.items()]
    return "\n".join([*rows, f"{record},,", ""]).encode()


def _urlsafe(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
