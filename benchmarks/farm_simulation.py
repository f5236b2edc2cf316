"""A farm in numbers: 1,000 cells of the measured cost distribution on 8 to 256 workers, by the policy that farms run.

python benchmarks/farm_simulation.py [--cells N] [--seed N] [--dask]

Each line gives makespan and lower bound (the longest cell; all work over all workers) and the processor time that the
policy took to decide, for each cell. `--dask` measures besides what a cell costs on its way through a real Dask
cluster: empty cells, sent and answered one by one through the farm's own adapter, on workers of this machine.
"""

from __future__ import annotations

import argparse
import math
import platform
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from cudawheel.farm.policy import Need, Seat
from cudawheel.farm.simulation import Simulated, simulate

GIB = 1 << 30
WORKERS = (8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What builds of a package were seen to take.

    Attributes:
        low: seconds of the fastest build that was measured; 5 in 100 are taken to be faster.
        high: of the slowest; 5 in 100 are taken to be slower.
        memory: bytes of its largest compiler.
    """

    name: str
    low: float
    high: float
    memory: int

    def seconds(self, chance: random.Random) -> float:
        """Draw a time: log-normal, nine of ten between the measured extremes."""
        middle = (math.log(self.low) + math.log(self.high)) / 2
        spread = (math.log(self.high) - math.log(self.low)) / 2 / 1.645
        return chance.lognormvariate(middle, spread)


# benchmarks/results/schedule-2-cores.txt and docs/verification/builds.md, on 2 cores and 16 GiB; the port's are of
# builds for two capabilities up to all.
PACKAGES = (
    Package(name="chamferdist", low=70, high=110, memory=int(1.7 * GIB)),
    Package(name="torchmcubes", low=125, high=270, memory=int(3.4 * GIB)),
    Package(name="port", low=30, high=80, memory=int(1.2 * GIB)),
)


def draw(cells: int, chance: random.Random) -> tuple[list[Need], dict[str, float]]:
    """Draw cells, a third of each package; gives them as the history knows them, and the seconds that they take."""
    needs, actual = [], {}
    for number in range(cells):
        package = PACKAGES[number % len(PACKAGES)]
        name = f"{package.name}-{number}"
        actual[name] = package.seconds(chance)
        needs.append(Need(name=name, seconds=actual[name], cores=2, memory=package.memory))
    chance.shuffle(needs)
    return needs, actual


def guess(needs: Sequence[Need], chance: random.Random, error: float) -> list[Need]:
    """Let the history be wrong by a factor that is log-normal with this spread."""
    return [replace(need, seconds=need.seconds * chance.lognormvariate(0.0, error)) for need in needs]


def small(count: int) -> list[Seat]:
    """Machines like the one that was measured: 2 cores, 16 GiB, a cell at a time."""
    return [Seat(name=f"w{number}", host=f"h{number}", cores=2, memory=16 * GIB) for number in range(count)]


def mixed(count: int) -> list[Seat]:
    """Half of them like that, a quarter with 8 cores and 16 GiB, which memory holds down, a quarter with 16 and 64."""
    shapes = ((2, 16), (2, 16), (8, 16), (16, 64))
    return [
        Seat(name=f"w{number}", host=f"h{number}", cores=cores, memory=memory * GIB)
        for number in range(count)
        for cores, memory in (shapes[number % len(shapes)],)
    ]


def line(what: str, count: int, found: Simulated, note: str = "") -> None:
    """Print a row."""
    print(
        f"{what:<34} {count:>7} {found.makespan:>10.0f} {found.bound:>10.0f} {found.ratio:>7.3f} "
        f"{found.deciding * 1e3:>12.3f}  {note}".rstrip()
    )


def tell(cells: int, seed: int) -> None:
    """Print all tables."""
    chance = random.Random(seed)  # noqa: S311 - a simulation
    needs, actual = draw(cells, chance)
    longest, total = max(actual.values()), sum(actual.values())
    print(
        f"{cells} cells, seed {seed}: {total / 3600:.1f} h of work, median {statistics.median(actual.values()):.0f} s, "
    )
    print(f"longest {longest:.0f} s; machine: {platform.machine()}, Python {platform.python_version()}, ", end="")
    print(f"cudawheel {version('cudawheel')}\n")
    heads = ("", "workers", "makespan s", "bound s", "ratio", "ms to decide")
    print(f"{heads[0]:<34} {heads[1]:>7} {heads[2]:>10} {heads[3]:>10} {heads[4]:>7} {heads[5]:>12}")
    for count in WORKERS:
        line("history is right", count, simulate(needs, small(count), actual))
    for error, words in ((0.1, "history is off by a tenth"), (0.25, "history is off by a quarter")):
        for count in WORKERS:
            line(words, count, simulate(guess(needs, chance, error), small(count), actual))
    for count in WORKERS:
        blind = [replace(need, seconds=math.inf) for need in needs]
        line("nothing was ever measured", count, simulate(blind, small(count), actual))
    for count in WORKERS:
        line("workers of four kinds, off by 1/4", count, simulate(guess(needs, chance, 0.25), mixed(count), actual))
    for count in WORKERS:
        seats = small(count)
        lost = {seat.name: chance.uniform(0, total / count) for seat in seats[: count // 8]}
        found = simulate(guess(needs, chance, 0.25), seats, actual, losses=lost)
        again = sum(found.started.values()) - cells
        line("one worker in eight is lost", count, found, f"{again} cells started again")


def tell_worst(cells: int, seeds: range) -> None:
    """Print the worst ratio of several draws, at the largest number of workers, where the draw matters most."""
    count = WORKERS[-1]
    print(f"\nworst of {len(seeds)} other seeds, {count} workers: ", end="")
    for error in (0.0, 0.1, 0.25):
        ratios = []
        for seed in seeds:
            chance = random.Random(seed)  # noqa: S311 - a simulation
            needs, actual = draw(cells, chance)
            ratios.append(simulate(guess(needs, chance, error), small(count), actual).ratio)
        print(f"{max(ratios):.3f} off by {error:.0%}", end="; ", flush=True)
    print()


def measure_dask(cells: int) -> None:
    """Print what an empty cell costs on its way through a Dask cluster on this machine."""
    import queue  # noqa: PLC0415 - only here

    from distributed import LocalCluster  # noqa: PLC0415 - an extra

    from cudawheel.farm.cluster import Answered, Message, connect  # noqa: PLC0415

    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local,
        connect(local.scheduler_address, "benchmark", inbox.put) as cluster,
    ):
        workers = sorted(cluster.workers())
        times, before = [], {}
        for number in range(cells + 20):
            key = f"empty-{number}"
            before[key] = time.perf_counter()
            # An order that cannot be read costs the way there and back, and nothing else.
            cluster.start(key, "build_cell", {}, workers[number % len(workers)], {})
            while not isinstance(message := inbox.get(timeout=60), Answered):
                pass
            times.append(time.perf_counter() - before[message.key])
    times = times[20:]  # what is imported at first is imported once
    print(f"\nthrough Dask {version('distributed')} and back, an empty cell, one at a time: median ", end="")
    print(f"{statistics.median(times) * 1e3:.1f} ms, 95 % below {statistics.quantiles(times, n=20)[-1] * 1e3:.1f} ms")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--dask", action="store_true", help="also measure the way through a Dask cluster")
    chosen = parser.parse_args()
    tell(chosen.cells, chosen.seed)
    tell_worst(chosen.cells, range(100, 110))
    if chosen.dask:
        measure_dask(200)


if __name__ == "__main__":
    main()
