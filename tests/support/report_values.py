"""Surveys, wheels and records with everything filled in that a test of the report does not care about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cudawheel.data import known_for, machines_of
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.report.build_record import BuildRecord
from cudawheel.report.values import Evidence, Survey, WheelFacts

GIB = 1 << 30


def record_json(sha256: str = "0" * 64, **changes: Any) -> dict[str, Any]:
    """Give a build record as it is written, some of its top-level parts replaced or added to."""
    record = {
        "schema": 1,
        "cudawheel": "0.1.0",
        "fingerprint": "f" * 64,
        "built_at": "2026-11-25T09:17:59+00:00",
        "package": {"name": "tiny-ext", "version": "1.0"},
        "recipe": {"file": "tiny.toml", "sha256": "a" * 64},
        "source": {
            "label": "amended",
            "kind": "git",
            "identity": "3381600ddc3d2e4d74222f8495866be5fafbace4",
            "url": "https://example.org/tiny.git",
            "fallback": True,
            "skipped": [{"label": "upstream", "reason": "not reachable"}],
        },
        "variant": {
            "identifier": "cp312-torch2.11-cu130-x86_64",
            "python": "3.12",
            "torch": "2.11",
            "cuda": "13.0",
            "abi": "torch-minor",
            "left_out": [{"capability": "7.0", "reason": "removed in CUDA 13.0"}],
        },
        "toolchain": {"kind": "package", "cuda": "13.0", "nvcc": "13.0.88", "host_compiler": "gcc 12.2.0"},
        "build": {
            "seconds": 404.77,
            "peak_memory": 6 * GIB,
            "largest_process": 3 * GIB,
            "most_compilers": 2,
            "budget": "19.3 GiB of memory, 2 cores",
            "confinement": "a cgroup of its own",
            "environment": ["cmake==4.4.5", "torch==2.11.0"],
            "timeline": {
                "reserve": 2 * GIB,
                "cores": 2,
                "samples": [[0.0, 0, 8 * GIB, 0, 0], [4.0, 6 * GIB, 8 * GIB, 2, 1], [9.0, GIB, 8 * GIB, 1, 0]],
                "events": [{"kind": "withheld", "at": 2.0, "until": 3.0, "text": "too little memory"}],
                "units": [
                    {
                        "build": "tiny", "source": "kernel.cu", "kind": "device", "passes": 2, "threads": 2,
                        "start": 1.0, "end": 8.0, "peak": 3 * GIB, "outcome": "out of memory",
                    }
                ],
            },
        },
        "wheel": {"file": "tiny_ext-1.0-py3-none-any.whl", "sha256": sha256, "size": 5},
        "audit": {
            "ok": True,
            "violations": [],
            "imported": {"modules": "tiny_ext", "torch": "2.11.0", "python": "/somewhere/bin/python"},
            "platform": {"tag": "manylinux_2_34_x86_64", "reason": ""},
        },
    }  # fmt: skip
    for name, value in changes.items():
        part = record.get(name)
        record[name] = {**part, **value} if isinstance(part, dict) and isinstance(value, dict) else value
    return record


def make_record(**changes: Any) -> BuildRecord:
    return BuildRecord.model_validate_json(json.dumps(record_json(**changes)))


def make_wheel(
    version: str = "1.0+cu.13.0.torch.2.11", *, carries: str = "8.0 9.0", ptx: str = "", **values: Any
) -> WheelFacts:
    """Give a wheel for x86-64 with device code of some capabilities; none for a wheel without."""
    capabilities = CapabilitySet.of(*(map(ComputeCapability.parse, words.split()) for words in (carries, ptx)))
    apart = machines_of("aarch64") if capabilities else frozenset()
    supports = {gpu: capabilities.support(gpu) for gpu in known_for()} if capabilities else {}
    given = {
        "path": f"tiny_ext-{version}-cp312-cp312-manylinux_2_34_x86_64.whl",
        "project": "tiny-ext",
        "version": version,
        "pythons": ("Python 3.12",),
        "platforms": ("manylinux_2_34_x86_64",),
        "size": 185_163,
        "sha256": "0" * 64,
        "requires": ("torch==2.11.*",),
        "capabilities": capabilities,
        "supports": supports,
        "apart": apart,
    }
    return WheelFacts(**{**given, **values})


def make_survey(*wheels: WheelFacts, **values: Any) -> Survey:
    return Survey(**{"folder": "wheelhouse", "wheels": wheels, **values})


def full_wheel(version: str = "1.0+cu.13.0.torch.2.11", **evidence: Any) -> WheelFacts:
    return make_wheel(version, evidence=Evidence(**{"record": make_record(), **evidence}))


def write_beside(wheel: Path, ending: str, content: object) -> Path:
    """Write JSON beside a wheel."""
    path = wheel.with_name(f"{wheel.name}{ending}")
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
