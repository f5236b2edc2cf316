"""Timing several ways of doing one thing, turn by turn, on a GPU or on the CPU."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

Ways = Mapping[str, Callable[[], object]]


def synchronize(device: torch.device) -> None:
    """Wait until a device has done all that it was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def milliseconds(way: Callable[[], object], device: torch.device) -> float:
    """Do something once, and give how long it took until the device was done."""
    synchronize(device)
    start = time.perf_counter()
    way()
    synchronize(device)
    return (time.perf_counter() - start) * 1000


def in_turns(ways: Ways, *, device: torch.device, rounds: int) -> dict[str, Any]:
    """Time all ways turn by turn, once each to warm up and then `rounds` times.

    A way that fails, for want of memory, say, is left out of what follows; the others go on.

    Returns:
        for each way the times in milliseconds and their median, or the error.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    errors: dict[str, str] = {}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            if name in errors:
                continue
            try:
                taken = milliseconds(way, device)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other ways are to be measured
                errors[name] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                gc.collect()
                if device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            if turn:
                times[name].append(taken)
    return {
        name: {"error": errors[name]} if name in errors else {"milliseconds": taken, "median": statistics.median(taken)}
        for name, taken in times.items()
    }


def compare(results: Mapping[str, Any], ours: str) -> None:
    """Print the median of each way, and its ratio to that of ours."""
    base = results[ours].get("median")
    for name, result in results.items():
        if "error" in result:
            print(f"{name:>40}  {result['error']}", flush=True)
        else:
            ratio = f"  {result['median'] / base:6.2f} times {ours}" if base else ""
            print(f"{name:>40}  {result['median']:9.2f} ms{ratio}", flush=True)


def where(device: torch.device) -> dict[str, Any]:
    """Give the machine, its versions and the date, for the record."""
    gpu: dict[str, Any] = {}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        gpu = {
            "gpu": properties.name,
            "gpu_memory_gib": round(properties.total_memory / 2**30, 1),
            "gpu_capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
        }
    return {
        **gpu,
        "device": str(device),
        "machine": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def keep(file: Path | None, device: torch.device, found: Mapping[str, Any]) -> None:
    """Write what was found to a JSON file, if one was named, with where it was found."""
    if file:
        file.write_text(json.dumps({"where": where(device), **found}, indent=1) + "\n")
