"""A program of its own that runs single checks on request, so that a check may end it without ending the rest.

It reads requests as JSON lines from its standard input and answers each with one JSON line on its standard output:

    {"do": "plan"}                                                checks, controls and the environment
    {"do": "check", "name": ..., "device": ..., "small": ...}     one check of the wheel, at full or small sizes
    {"do": "control", "name": ..., "check": ..., "device": ...}   the same with a fault put in

Whatever native code prints goes to the standard error instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cudawheel.verify.oracles.picture import write_png
from cudawheel.verify.suite import Changes, Check, Measured, Sabotage, Suite, UnprovenError, WrongError, load_suite

_LONGEST_DETAIL = 600


class Worker:
    """One suite with its subject, ready for requests.

    Attributes:
        suite: where checks and controls come from.
        pictures: folder for them.
    """

    def __init__(self, suite: Suite, *, quick: bool, pictures: Path) -> None:
        self.pictures = pictures
        self._suite = suite
        self._subject = suite.subject(quick=quick)
        self._small = self._subject if quick else suite.subject(quick=True)
        self._checks = {check.name: check for check in suite.checks(self._subject)}
        self._controls = {control.name: control for control in suite.controls(self._subject)}

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what is asked."""
        if request["do"] == "plan":
            return self._plan()
        if request["do"] == "check":
            small = request.get("small", False)
            subject = self._small if small else self._subject
            return self._run(self._checks[request["name"]], subject, request["device"], draw=not small)
        control, check = self._controls[request["name"]], self._checks[request["check"]]
        changes = Changes()
        broken = control.breaks(self._small, changes)
        return {**self._run(check, broken, request["device"], draw=False), "changes": changes.count}

    def _plan(self) -> dict[str, Any]:
        return {
            "checks": [
                {"name": check.name, "claim": check.claim, "devices": list(check.devices)}
                for check in self._checks.values()
            ],
            "controls": [_describe(control) for control in self._controls.values()],
            "environment": environment(self._suite.requires),
            "gpu": bool(_cuda_devices()),
        }

    def _run(self, check: Check, subject: Any, device: str, *, draw: bool) -> dict[str, Any]:  # noqa: ANN401
        start = time.perf_counter()
        outcome: dict[str, Any]
        try:
            measured = check.run(subject, device)
            outcome = {
                "outcome": "failed" if measured.exceeded else "passed",
                "detail": measured.explain(),
                "measured": {name: float(value) for name, value in measured.values.items()},
                "tolerance": {name: float(value) for name, value in measured.tolerance.items()},
                "pictures": self._draw(measured, device) if draw else [],
            }
        except UnprovenError as reason:
            outcome = {"outcome": "unproven", "detail": str(reason)}
        except WrongError as found:
            outcome = {"outcome": "failed", "detail": str(found)}
        except Exception as error:  # noqa: BLE001 - whatever a wheel raises is a finding
            traceback.print_exc()
            outcome = {"outcome": "failed", "detail": f"{type(error).__name__}: {error}"[:_LONGEST_DETAIL]}
        return {**outcome, **_look_at_gpu(outcome, device), "seconds": time.perf_counter() - start}

    def _draw(self, measured: Measured, device: str) -> list[str]:
        """Write the pictures; one that cannot be drawn is missing, and says so in the log."""
        names = []
        try:
            for name, draw in measured.pictures.items():
                path = self.pictures / f"{name}-{device}.png"
                write_png(path, draw())
                names.append(path.name)
        except Exception:  # noqa: BLE001 - pictures prove nothing, and must not spoil what does
            traceback.print_exc()
        return names


def environment(requires: Sequence[str]) -> dict[str, str]:
    """Say what the checks run on: versions, platform, and the GPU where there is one."""
    import torch  # noqa: PLC0415 - only where it is needed

    found = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cuda": str(torch.version.cuda or "none"),
        "platform": platform.platform(),
        "cores": str(len(os.sched_getaffinity(0))),
        "threads": str(torch.get_num_threads()),
    }
    for name in requires:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    for index in range(_cuda_devices()):
        suffix = f" {index}" if index else ""
        major, minor = torch.cuda.get_device_capability(index)
        properties = torch.cuda.get_device_properties(index)
        found[f"device{suffix}"] = torch.cuda.get_device_name(index)
        found[f"capability{suffix}"] = f"{major}.{minor}"
        found[f"memory{suffix}"] = f"{properties.total_memory / 2**30:.0f} GiB"
    if _cuda_devices():
        found["driver"] = _driver()
    return found


def _driver() -> str:
    try:
        words = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").split()
    except OSError:
        return "unknown"
    return next((word for word in words if word[0].isdigit() and "." in word), "unknown")


def _cuda_devices() -> int:
    import torch  # noqa: PLC0415 - only where it is needed

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0


def _describe(control: Sabotage) -> dict[str, Any]:
    return {
        "name": control.name,
        "what": control.what,
        "checks": list(control.checks),
        "devices": list(control.devices),
    }


def _look_at_gpu(outcome: Mapping[str, Any], device: str) -> dict[str, Any]:
    """See whether a check has left the GPU usable: a fault of a kernel shows only when it is waited for."""
    if device != "cuda":
        return {}
    import torch  # noqa: PLC0415 - only where it is needed

    try:
        torch.cuda.synchronize()
        torch.zeros(1, device="cuda").add_(1).item()
        torch.cuda.empty_cache()
    except Exception as error:  # noqa: BLE001 - a spoilt context raises many things
        first = str(error).splitlines()[0]
        detail = "; ".join(part for part in (outcome["detail"], f"left the GPU unusable: {first}") if part)
        return {"outcome": "failed", "detail": detail, "spoilt": True}
    return {}


def main(arguments: Sequence[str]) -> None:
    """Answer requests until there are no more: SUITE, FOLDER, and `quick` or nothing."""
    suite, pictures, *rest = arguments
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as channel:
        os.dup2(2, 1)
        import torch  # noqa: PLC0415 - after the channel is safe from what its import might print

        # TensorFloat-32 has 10 bits of mantissa: a reference computed with it would be none.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        worker = Worker(load_suite(suite), quick="quick" in rest, pictures=Path(pictures))
        for line in sys.stdin:
            channel.write(json.dumps(worker.answer(json.loads(line))) + "\n")
            channel.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
