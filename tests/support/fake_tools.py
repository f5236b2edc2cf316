"""A toolkit and a compiler in name, for builds that compile nothing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cudawheel.audit.platform_tag import PlatformTag
from cudawheel.factory.request import BuildRequest
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.version import CudaVersion, PythonVersion
from cudawheel.plan.plan import Machine, Selection
from cudawheel.toolchain.host_compiler import HostCompiler
from cudawheel.toolchain.layout import PARTS
from cudawheel.toolchain.toolchain import Toolchain

PYTHON = PythonVersion(sys.version_info.major, sys.version_info.minor)

PLAIN_TAG = PlatformTag(tag=f"linux_{platform.machine()}", reason="nobody asked auditwheel")


def toolchain(home: Path, *codes: str) -> Toolchain:
    return Toolchain(
        kind="system",
        home=home,
        nvcc=home / "bin" / "nvcc",
        version=CudaVersion(13, 0),
        release="13.0.88",
        gpu_codes=tuple(ComputeCapability.parse(code) for code in codes or ("8.0", "9.0", "12.0")),
    )


def compiler(version: str = "14.2.0") -> HostCompiler:
    return HostCompiler(cxx=Path("/usr/bin/g++"), cc=Path("/usr/bin/gcc"), family="gcc", version=version)


NVCC = """#!/bin/sh
case "$1" in
--version) echo 'Cuda compilation tools, release 13.0, V13.0.88' ;;
--list-gpu-code) printf 'sm_75\\nsm_80\\nsm_90\\nsm_120\\n' ;;
-v) echo '#$ _SPACE_= '; echo '#$ TOP={home}/bin/..'; exit 1 ;;
esac
"""
CXX = """#!/bin/sh
echo '#define __GNUC__ 14'
echo '#define __GNUC_MINOR__ 2'
echo '#define __GNUC_PATCHLEVEL__ 0'
"""


def write_toolkit(home: Path) -> Path:
    """A toolkit that answers what it is asked, and cannot compile."""
    for _component, places in PARTS:
        write_program(home / places[0], "#!/bin/sh\n")
    write_program(home / "bin" / "nvcc", NVCC.format(home=home))
    return home


def write_compiler(path: Path) -> Path:
    """A C++ compiler that says what it is, and cannot compile."""
    return write_program(path, CXX)


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def give(value: Any) -> Callable[..., Any]:
    """A function that gives the same, whatever it is asked."""
    return lambda *_words, **_named: value


def build_request(recipe: Path, folder: Path, **changes: Any) -> BuildRequest:
    """A request like that of `cudawheel build RECIPE --toolchain system`, within a folder."""
    facts: dict[str, Any] = {
        "recipe": recipe,
        "selection": Selection(toolchain="system"),
        "machine": Machine(machine=platform.machine(), python=PYTHON),
        "toolchain": "system",
        "redist_url": "",
        "source": None,
        "wheelhouse": folder / "wheelhouse",
        "cache": folder / "cache",
        "reuse": True,
        "environ": dict(os.environ),
    }
    return BuildRequest(**{**facts, **changes})
