"""Marching cubes of several torchmcubes wheels on one device, turn by turn: time and memory, and their ratios.

    python benchmarks/marching_cubes.py bundled=FIRST.whl upstream=SECOND.whl --json marching_cubes.json

Each way is a name and a wheel, or a folder with an unpacked one. They all have one import name, so that each runs in a
process of its own; the processes take turns of several extractions, and medians are compared. A way that fails or ends
is left out; the others go on. Ratios are to the first. Needs torch.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from timing import keep

CHILD = Path(__file__).with_name("extracting.py")


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="+", metavar="NAME=WHEEL")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--resolutions", default="256,512")
    parser.add_argument("--fields", default="sphere,noise")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


class Child:
    """A process that has one of the wheels."""

    def __init__(self, wheel: Path, device: str, folder: Path) -> None:
        if wheel.is_file():
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
        else:
            folder = wheel.absolute()
        path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD), device],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def listen(self) -> dict[str, Any]:
        """Wait for a line from it."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            return {"error": f"ended with exit status {self._process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, field: str, size: int) -> dict[str, Any]:
        """Let it have its turn."""
        try:
            print(json.dumps({"field": field, "size": size}), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            return {"error": f"ended with exit status {self._process.wait()}"}
        return self.listen()

    def end(self) -> None:
        """Let it end."""
        try:
            self._process.communicate(timeout=30)
        except (subprocess.TimeoutExpired, BrokenPipeError, ValueError):
            self._process.kill()
            self._process.wait()


def take_turns(children: dict[str, Child], field: str, size: int, rounds: int) -> dict[str, Any]:
    """Give what each way did with one field, or how it failed."""
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in children}
    failed: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for name, child in children.items():
            if name in failed:
                continue
            answer = child.ask(field, size)
            if "error" in answer:
                failed[name] = answer
            else:
                turns[name].append(answer)
    results: dict[str, Any] = {}
    for name, done in turns.items():
        times = [time for each in done for time in each["milliseconds"]]
        results[name] = failed.get(name) or {
            "milliseconds": times,
            "median": statistics.median(times),
            "faces": done[0]["faces"],
            "bytes_a_cell": done[0]["bytes_a_cell"],
        }
    return results


def describe(field: str, size: int, results: dict[str, Any]) -> None:
    """Print a line a way, with its ratio to the first."""
    first = next(iter(results.values())).get("median")
    for name, result in results.items():
        start = f"{field} {size}^3".ljust(14) + name.rjust(12)
        if "error" in result:
            print(f"{start}  {result['error']}", flush=True)
            continue
        ratio = f"  {result['median'] / first:6.2f} times {next(iter(results))}" if first else ""
        extra = result["bytes_a_cell"]
        memory = "" if extra is None else f"  {extra:6.1f} bytes a cell"
        print(f"{start}  {result['median']:9.3f} ms{ratio}  {result['faces']:>10} faces{memory}", flush=True)


def main() -> None:
    """Compare the wheels of the command line."""
    chosen = options()
    wheels = {name: Path(file) for name, _, file in (way.partition("=") for way in chosen.ways)}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        children = {name: Child(wheel, chosen.device, Path(folder, name)) for name, wheel in wheels.items()}
        for name, child in list(children.items()):
            hello = child.listen()
            print(f"{name}: {wheels[name].name}  {hello.get('error', '')}", flush=True)
            if "error" in hello:
                children.pop(name).end()
        for field in chosen.fields.split(",") if children else ():
            for size in map(int, chosen.resolutions.split(",")):
                results = take_turns(children, field, size, chosen.rounds)
                describe(field, size, results)
                found[f"{field} {size}"] = results
        for child in children.values():
            child.end()
    names = {name: wheel.name for name, wheel in wheels.items()}
    keep(chosen.json, torch.device(chosen.device), {"wheels": names, "results": found})


if __name__ == "__main__":
    main()
