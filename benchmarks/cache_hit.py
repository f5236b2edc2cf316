"""What nothing costs: `cudawheel --help`, and a `cudawheel build` that finds its wheel in the store.

    python benchmarks/cache_hit.py [RECIPE] [--megabytes 20] [--rounds 15]

Nothing is compiled: a wheel of that size is put into a store of its own under the fingerprint that the recipe has here,
and then `cudawheel build` is run as a person runs it, the wheelhouse being full or empty. Beside it stands what an
empty Python costs, turn by turn, since most of the rest is imports. A build that finds nothing, because cudawheel's
code was changed meanwhile, is ended.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from cudawheel.builder.identity import candidates
from cudawheel.cli.options import this_machine
from cudawheel.factory.job import Job
from cudawheel.factory.request import BuildRequest
from cudawheel.plan.plan import Selection
from cudawheel.recipe.loading import load_recipe
from cudawheel.schedule.timeline import Timeline
from cudawheel.store.store import Store

LONGEST = 20.0
CALL = [sys.executable, "-m", "cudawheel"]


def seed(recipe: Path, folder: Path, size: int) -> None:
    """Put a wheel of so many bytes into the store of a cache, as if it had been built."""
    loaded = load_recipe(recipe)
    request = BuildRequest(
        recipe=recipe,
        selection=Selection(toolchain="package"),
        machine=this_machine(None),
        toolchain="package",
        redist_url="",
        source=None,
        wheelhouse=folder / "wheelhouse",
        cache=folder / "cache",
        reuse=True,
        environ=dict(os.environ),
    )
    job = Job(request, loaded, candidates(loaded, None)[0])
    wheel = folder / f"{loaded.recipe.package.name}-{loaded.recipe.package.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("data", os.urandom(size))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    record = {
        "fingerprint": job.fingerprint,
        "source": {**job.source_facts, "fallback": False, "skipped": []},
        "toolchain": {"nvcc": "13.0.88"},
        "build": {
            "seconds": 60.0,
            "peak_memory": 1 << 30,
            "most_compilers": 2,
            "timeline": Timeline(reserve=1 << 30, cores=2, samples=[], units=[]).to_json(),
        },
        "wheel": {"file": wheel.name, "sha256": digest, "size": wheel.stat().st_size},
        "audit": {
            "capabilities": {"cubins": ["9.0", "12.0"], "ptx": ["12.0"]},
            "imported": {"modules": "nothing", "torch": "2.11.0"},
        },
    }
    Store(folder / "cache" / "store").add(job.fingerprint, wheel, record)


def seconds(command: list[str]) -> float:
    """Run a command; gives its wall time."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            output, errors = child.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            child.terminate()  # which ends what it compiles, too
            sys.exit("it is not in the store, and was about to be built")
        taken = time.perf_counter() - start
    if child.returncode or ("build" in command and "built before" not in output):
        sys.exit(errors or output)
    return taken


def main() -> None:
    """Measure all, turn by turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe", type=Path, nargs="?", default=Path("recipes/chamferdist.toml"))
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seed(chosen.recipe, folder, chosen.megabytes << 20)
        wheelhouse = folder / "wheelhouse"
        build = [*CALL, "build", str(chosen.recipe), "--cache", str(folder / "cache"), "--wheelhouse", str(wheelhouse)]
        commands = {
            "empty Python": [sys.executable, "-c", "pass"],
            "cudawheel --help": [*CALL, "--help"],
            "build, wheelhouse empty": build,
            "build, wheelhouse full": build,
        }
        seconds(build)
        times: dict[str, list[float]] = {label: [] for label in commands}
        for _ in range(chosen.rounds):
            for path in wheelhouse.iterdir():
                path.unlink()
            for label, command in commands.items():
                times[label].append(seconds(command))
    print(f"{chosen.recipe}, a wheel of {chosen.megabytes} MiB, {chosen.rounds} rounds, {os.cpu_count()} cores")
    for label, values in times.items():
        ordered = sorted(values)
        print(f"{label:<24} median {statistics.median(ordered):.3f} s, least {ordered[0]:.3f}, most {ordered[-1]:.3f}")


if __name__ == "__main__":
    main()
