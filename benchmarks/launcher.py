"""What waiting for one's turn costs: a compiler behind its stand-in, against the compiler alone, turn by turn.

    python benchmarks/launcher.py

The compiler does nothing, so all of the difference is the price: starting the launcher, asking, reporting.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from cudawheel.schedule import launcher
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.dispatcher import Build
from cudawheel.schedule.history import CostKey, History
from cudawheel.schedule.jobserver import Jobserver
from cudawheel.schedule.stand_ins import write_stand_ins

ROUNDS = 100
NAME = "benchmark"


def main() -> None:
    """Time both, turn by turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiler = folder / "c++"
        compiler.write_text("#!/bin/sh\n")
        compiler.chmod(0o755)
        (folder / "toolkit" / "bin").mkdir(parents=True)
        key = CostKey(package=NAME, fingerprint="", cuda="", torch="", memory=1 << 20)
        build = Build(name=NAME, key=key, folder=folder, note=print)
        with Jobserver(BudgetRequest(), History(folder / "costs.sqlite")) as jobserver, jobserver.serve(build):
            stand_ins = write_stand_ins(
                folder / "stand-ins",
                cuda_home=folder / "toolkit",
                cxx=compiler,
                cc=None,
                path="",
                socket=jobserver.socket,
            )
            compare(compiler, stand_ins.cxx)


def compare(alone: Path, behind: Path) -> None:
    """Run both turn by turn and print the medians."""
    environment = {**os.environ, launcher.BUILD: NAME}
    times: dict[Path, list[float]] = {alone: [], behind: []}
    for _ in range(ROUNDS):
        for compiler, taken in times.items():
            start = time.perf_counter()
            subprocess.run([compiler, "-c", "unit.cpp", "-o", "unit.o"], env=environment, check=True)
            taken.append(time.perf_counter() - start)
    bare, asked = (statistics.median(times[one]) * 1000 for one in (alone, behind))
    print(f"alone {bare:.1f} ms, behind the jobserver {asked:.1f} ms: {asked - bare:.1f} ms a compilation")


if __name__ == "__main__":
    main()
