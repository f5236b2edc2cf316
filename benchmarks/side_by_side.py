"""All variants of a recipe side by side under one pool, against the same variants one after the other.

    python benchmarks/side_by_side.py recipes/chamferdist.toml --limit 8 --python 3.11 --torch 2.11,2.12 \
        --capabilities "9.0;12.0"

Both are real builds, `cudawheel build --all` and one `cudawheel build` a variant, with the store off. Before the
measured ones everything is built once, so that environments are there and costs are known. `--limit` runs each in a
cgroup of that many GiB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from limited import cgroup, entering, kills_in


def main() -> None:
    """Build both ways, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--torch", required=True, help="releases, with commas between")
    parser.add_argument("--capabilities", required=True)
    parser.add_argument("--warm", action="store_true", help="environments and costs are there already")
    parser.add_argument("--limit", type=float, default=None, help="GiB")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "cudawheel-benchmark")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recipe = narrowed(chosen.recipe, chosen.torch.split(","), Path(folder))
        common = [str(recipe), "--no-cache", "--python", chosen.python, "--capabilities", chosen.capabilities]
        common += ["--cache", str(chosen.cache), "--wheelhouse", str(Path(folder) / "wheelhouse")]
        if not chosen.warm:
            build([*common, "--all"], None)
        together = build([*common, "--all"], chosen.limit)
        apart = 0.0
        for torch in chosen.torch.split(","):
            apart += build([*common, "--torch", torch], chosen.limit)
    print(f"one after the other takes {apart / together:.2f} times the time of side by side")


def narrowed(recipe: Path, torches: list[str], folder: Path) -> Path:
    """Write a copy of a recipe whose matrix holds these releases of torch alone."""
    lines = recipe.read_text(encoding="utf-8").splitlines()
    wanted = "torch = [{}]".format(", ".join(f'"{torch}"' for torch in torches))
    copy = folder / recipe.name
    changed = [wanted if line.startswith("torch = [") else line for line in lines]
    copy.write_text("\n".join(changed) + "\n", encoding="utf-8")
    for beside in recipe.parent.iterdir():
        if beside.is_dir():
            (folder / beside.name).symlink_to(beside.absolute())
    return copy


def build(arguments: list[str], limit: float | None) -> float:
    """Run one build; gives the seconds that it took, and prints them with what the kernel killed."""
    with cgroup(limit) as group:
        start = time.monotonic()
        command = [sys.executable, "-m", "cudawheel", "build", *arguments]
        done = subprocess.run([*entering(group), *command], capture_output=True, text=True, check=False)
        seconds = time.monotonic() - start
        kills = kills_in(group)
    which = "side by side" if "--all" in arguments else f"torch {arguments[-1]} alone"
    state = "ok" if done.returncode == 0 else f"exit {done.returncode}: {done.stderr[-300:]}"
    cores = len(os.sched_getaffinity(0))
    print(f"{which:>18}  {seconds:7.1f} s  {cores} cores, limit {limit} GiB, {kills} killed  {state}", flush=True)
    return seconds


if __name__ == "__main__":
    main()
