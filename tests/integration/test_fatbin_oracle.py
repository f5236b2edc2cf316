"""cuobjdump is the oracle: on real output of nvcc, our reader lists the same entries in the same order."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from uv import find_uv_bin

from cudawheel.audit.fatbin import EntryKind
from cudawheel.audit.shared_object import DeviceCode, SharedObject

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PACKAGES = ("cuda-toolkit[nvcc,cccl,crt,nvvm,cudart]==13.0.2", "nvidia-cuda-cuobjdump")
GENCODE = (
    "-gencode=arch=compute_75,code=sm_75",
    "-gencode=arch=compute_86,code=sm_86",
    "-gencode=arch=compute_90a,code=[sm_90a,compute_90a]",
    "-gencode=arch=compute_100f,code=[sm_100f,compute_100f]",
    "-gencode=arch=compute_120,code=[sm_120,compute_120]",
)
KERNEL = """
__global__ void scale(float* values, float factor) { values[threadIdx.x] *= factor; }
extern "C" int launch(float* values) { scale<<<1, 32>>>(values, 2.0f); return cudaGetLastError(); }
"""
NO_KERNEL = 'extern "C" int nothing(int x) { return x + 1; }\n'
LISTING = re.compile(
    r"^Fatbin (?P<kind>elf|ptx) code:\n=+\n(?P<facts>(?:[^\n]+\n)*)",
    re.MULTILINE,
)


@pytest.fixture(scope="session")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CUDA toolkit and cuobjdump in an environment of their own, out of the package index."""
    folder = tmp_path_factory.mktemp("cuda") / "env"
    uv = find_uv_bin()
    run(uv, "venv", "--quiet", folder)
    run(uv, "pip", "install", "--quiet", "--python", folder / "bin" / "python", *PACKAGES)
    (root,) = folder.glob("lib/python*/site-packages/nvidia/cu13")
    return root


@pytest.fixture(params=["default", "none", "size"])
def compression(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def compile_cuda(toolkit: Path, folder: Path, source: str, *flags: str) -> Path:
    (folder / "source.cu").write_text(source)
    target = folder / "out.so"
    nvcc = toolkit / "bin" / "nvcc"
    options = (*GENCODE, *flags, "-shared", "-Xcompiler", "-fPIC", f"-L{toolkit / 'lib'}", "-o", target)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("NVCC_", "CUDA"))}
    run(nvcc, folder / "source.cu", *options, env=clean)
    return target


def list_with_cuobjdump(toolkit: Path, path: Path) -> list[tuple[str, str, bool]]:
    found = []
    for match in LISTING.finditer(run(toolkit / "bin" / "cuobjdump", path)):
        facts = match["facts"]
        (number,) = re.findall(r"^arch = (?:sm|compute)_(\w+)$", facts, re.MULTILINE)
        found.append((match["kind"], number, re.search(r"^compressed$", facts, re.MULTILINE) is not None))
    return found


def list_ourselves(code: DeviceCode) -> list[tuple[str, str, bool]]:
    names = {EntryKind.CUBIN: "elf", EntryKind.PTX: "ptx"}
    return [
        (names[entry.kind], entry.capability.number, bool(entry.compression))
        for container in code.containers
        for entry in container.entries
    ]


def test_our_list_is_cuobjdumps(toolkit: Path, tmp_path: Path, compression: str) -> None:
    path = compile_cuda(toolkit, tmp_path, KERNEL, f"--compress-mode={compression}")
    code = SharedObject.read(path).device_code
    assert list_ourselves(code) == list_with_cuobjdump(toolkit, path)
    assert str(code.capabilities) == "7.5 8.6 9.0a 10.0f 12.0 + PTX 9.0a 10.0f 12.0"
    assert len(code.coded) == len(code.containers) - 1, "all but the device link's container"


def test_relocatable_device_code_is_listed_once_linked(toolkit: Path, tmp_path: Path) -> None:
    path = compile_cuda(toolkit, tmp_path, KERNEL, "-rdc=true")
    code = SharedObject.read(path).device_code
    assert list_ourselves(code) == list_with_cuobjdump(toolkit, path)
    assert str(code.capabilities) == "7.5 8.6 9.0a 10.0f 12.0"


@pytest.mark.parametrize("flags", [(), ("-rdc=true",)], ids=["whole program", "relocatable"])
def test_a_source_without_kernels_has_no_device_code(
    toolkit: Path, tmp_path: Path, compression: str, flags: tuple[str, ...]
) -> None:
    mode = f"--compress-mode={compression}"
    path = compile_cuda(toolkit, tmp_path, NO_KERNEL, mode, *flags)
    code = SharedObject.read(path).device_code
    assert list_ourselves(code) == list_with_cuobjdump(toolkit, path)
    assert code.containers
    assert not code.coded
