from __future__ import annotations

import hashlib
import io
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from audit_fixtures import SOURCE, Compile, MakeWheel

from cudawheel.wheel.record import RecordRow, compute_digest, write_record


@pytest.fixture(scope="session")
def compile_object(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compile C to a shared object, once for each source, flags and fatbin."""
    folder = tmp_path_factory.mktemp("objects")

    def compile_(*flags: str, source: str = SOURCE, fatbin: bytes | None = None) -> Path:
        key = hashlib.sha256(repr((flags, source, fatbin)).encode()).hexdigest()[:16]
        target = folder / key / "object.so"
        if target.exists():
            return target
        target.parent.mkdir()
        if fatbin is not None:
            (target.parent / "fatbin").write_bytes(fatbin)
            source += f'asm(".section .nv_fatbin, \\"a\\"\\n.incbin \\"{target.parent}/fatbin\\"\\n.previous");\n'
        (target.parent / "source.c").write_text(source)
        command = ["gcc", "-shared", "-fPIC", "-g0", "-o", str(target), str(target.parent / "source.c"), *flags]
        subprocess.run(command, check=True, timeout=60)
        return target

    return compile_


@pytest.fixture
def make_wheel(tmp_path: Path) -> MakeWheel:
    """Write a wheel with a right RECORD around some members."""

    def make(
        members: Mapping[str, bytes | Path],
        *,
        tag: str = "cp312-cp312-linux_x86_64",
        requires: tuple[str, ...] = ("torch==2.11.*",),
        wheel_tag: str = "",
        record_extra: str = "",
    ) -> Path:
        info = "demo_ext-1.0.dist-info"
        requirements = "".join(f"Requires-Dist: {text}\n" for text in requires)
        files = {
            **{name: data if isinstance(data, bytes) else data.read_bytes() for name, data in members.items()},
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: demo-ext\nVersion: 1.0\n{requirements}".encode(),
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {wheel_tag or tag}\n".encode(),
        }
        rows = []
        for name, data in files.items():
            digest, size = compute_digest(io.BytesIO(data))
            rows.append(RecordRow(path=name, digest=digest, size=str(size)))
        record = write_record((*rows, RecordRow(path=f"{info}/RECORD"))) + record_extra.encode()
        path = tmp_path / f"demo_ext-1.0-{tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in {**files, f"{info}/RECORD": record}.items():
                archive.writestr(name, data)
        return path

    return make
