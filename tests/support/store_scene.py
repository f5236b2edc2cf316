"""Small wheels of known content, and what has to hold of a store and of a remote store whatever was done to them."""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from pathlib import Path
from typing import Any

from small_packages import write_wheel

from cudawheel.store.stored import FINGERPRINT, read_entry, require_hash


def key_of(number: int) -> str:
    """A fingerprint."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def make_wheel(folder: Path, number: int, edition: int = 0, largest: int = 400_000) -> tuple[Path, dict[str, Any]]:
    """Write a wheel of at most so many bytes that a fingerprint may have, and its record."""
    filler = random.Random(number * 1000 + edition)  # noqa: S311 - the same each time
    content = filler.randbytes(filler.randrange(1_000, largest // 2)).hex()
    wheel = write_wheel(folder, f"demo-{number}", "1.0", files={f"demo_{number}/data": content})
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    facts = {"file": wheel.name, "sha256": digest, "size": wheel.stat().st_size}
    return wheel, {"wheel": facts, "edition": edition, "fingerprint": key_of(number)}


def faults_of_store(root: Path) -> list[str]:
    """Everything that is visible in a store and not whole; nothing is set aside, mended or locked for that."""
    faults = []
    for folder in root.iterdir():
        if FINGERPRINT.fullmatch(folder.name):
            try:
                stored = read_entry(folder)
                require_hash(stored)
                with zipfile.ZipFile(stored.wheel) as archive:
                    assert archive.testzip() is None
            except Exception as fault:  # noqa: BLE001 - whatever it is, it is what is looked for
                faults.append(f"{folder.name[:8]}: {fault!r}")
    damaged = root / "damaged"
    return faults + [f"set aside: {path.name[:8]}" for path in (damaged.iterdir() if damaged.is_dir() else ())]


def faults_of_remote(root: Path) -> list[str]:
    """Every record of a remote store that lies in a folder and does not speak of a whole wheel."""
    found = (_fault_of_remote(record) for record in sorted(root.glob("*/record.json")))
    return [fault for fault in found if fault]


def _fault_of_remote(record: Path) -> str:
    try:
        wheel = json.loads(record.read_text(encoding="utf-8"))["wheel"]
        found = hashlib.sha256((record.parent / wheel["sha256"] / wheel["file"]).read_bytes()).hexdigest()
    except Exception as fault:  # noqa: BLE001 - as above
        return f"remote {record.parent.name[:8]}: {fault!r}"
    return "" if found == wheel["sha256"] else f"remote {record.parent.name[:8]}: the wheel has sha256 {found}"


def faults_of_wheelhouse(folder: Path) -> list[str]:
    """Every wheel whose record, beside it, is of other bytes."""
    faults = []
    for wheel in folder.glob("*.whl"):
        record = json.loads(wheel.with_name(f"{wheel.name}.json").read_text(encoding="utf-8"))
        if record["wheel"]["sha256"] != hashlib.sha256(wheel.read_bytes()).hexdigest():
            faults.append(f"wheelhouse: {wheel.name}")
    return faults


def leftovers(root: Path) -> list[str]:
    """Folders of work in progress."""
    return sorted(path.name for path in root.glob(".new-*"))
