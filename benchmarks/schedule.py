"""A package compiled under cudawheel's jobserver, against its bare backend and against fixed jobs and threads.

    python benchmarks/schedule.py recipes/chamferdist.toml --limit 4 --ways bare,cudawheel,1x1,2x1,1x2

Every way compiles a fresh copy of the same source with the same compilers in the same environment, one after the other.
A way is `bare` (no setting at all), `cudawheel`, `one` (bare, for the highest capability alone: the floor), JxT
(MAX_JOBS J and nvcc on T threads, fixed), or `together` and `in-turn`: cudawheel with two variants, one without the
lowest and one without the highest capability, at once or one after the other. `--limit` runs each way in a cgroup of
that many GiB, which needs root and cgroup v1 or a delegated v2; `--memory` only tells cudawheel so. `--here` takes the
running Python's own torch and the system's CUDA instead of an environment of its own. Prints a line a way, then ratios
to the first of cudawheel's own; `--json FILE` keeps all of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from limited import cgroup, entering, kills_in

from cudawheel.builder.archives import package_index
from cudawheel.builder.build import environment_spec
from cudawheel.builder.compiling import Compiling
from cudawheel.builder.environment import Environment, provide_environment
from cudawheel.builder.frontend import Backend
from cudawheel.builder.identity import candidates
from cudawheel.builder.order import BuildOrder, Workplace
from cudawheel.builder.sources import fetch, lay_out
from cudawheel.builder.tools import Tools, find_tools
from cudawheel.builder.variables import flag_variables, torch_variables
from cudawheel.cli.options import read_selection, this_machine
from cudawheel.errors import CudawheelError
from cudawheel.factory.job import Job
from cudawheel.factory.request import BuildRequest
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.progress import Silent
from cudawheel.plan.variables import capability_variables
from cudawheel.recipe.loading import load_recipe
from cudawheel.schedule.budget import BudgetRequest
from cudawheel.schedule.confinement import Confinement
from cudawheel.schedule.history import History
from cudawheel.schedule.jobserver import Jobserver
from cudawheel.schedule.limits import GIB
from cudawheel.toolchain.environment import build_environment, search_path

# The ways that are cudawheel's own.
OURS = ("cudawheel", "together", "in-turn")


class Unheld(Confinement):
    """A build that nobody holds: what a bare `pip install` does."""

    def command(self, command: tuple[str, ...], lifeline: int) -> tuple[str, ...]:  # noqa: ARG002
        """Give the command as it is."""
        return command


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--capabilities", default=None)
    parser.add_argument("--python", default=None)
    parser.add_argument("--torch", default=None)
    parser.add_argument("--source", default=None)
    parser.add_argument("--ways", default="bare,cudawheel")
    parser.add_argument("--limit", type=float, default=None, help="GiB")
    parser.add_argument("--memory", type=float, default=None, help="GiB")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--here", action="store_true")
    parser.add_argument("--keep-history", action="store_true", help="let cudawheel know what it measured before")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "cudawheel-benchmark")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--one-way", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run every way in a process of its own, and compare."""
    chosen = options()
    if chosen.one_way:
        print(json.dumps(one_way(chosen, chosen.one_way)))
        return
    ways = chosen.ways.split(",")
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for number in range(chosen.rounds):
        for way in ways if number % 2 == 0 else reversed(ways):
            result = in_limit(chosen, way)
            results[way].append(result)
            print(describe(way, result), flush=True)
    best = {way: min((r["seconds"] for r in done if r["ok"]), default=None) for way, done in results.items()}
    ours = next((way for way in ways if way in OURS), None)
    for way in ways:
        if best[way] and best.get(ours):
            print(f"{way}: {best[way] / best[ours]:.2f} times the time of {ours}")
    if chosen.json:
        where = {
            "machine": platform.platform(),
            "cores": len(os.sched_getaffinity(0)),
            "limit_gib": chosen.limit,
            "memory_gib": chosen.memory,
        }
        when = time.strftime("%Y-%m-%d", time.gmtime())
        what = {"recipe": chosen.recipe.name, "capabilities": chosen.capabilities, "results": results}
        chosen.json.write_text(json.dumps({**where, "date": when, **what}, indent=1) + "\n")


def describe(way: str, result: Mapping[str, Any]) -> str:
    """Put a result into one line."""
    end = "ok" if result["ok"] else f"FAILED: {result['error']}"
    return (
        f"{way:>10}  {result['seconds']:7.1f} s  peak {result['peak'] / GIB:5.1f} GiB  "
        f"{result['kills']} killed by the kernel  {end}"
    )


def in_limit(chosen: argparse.Namespace, way: str) -> dict[str, Any]:
    """Run one way in a process of its own, within the limit if there is one."""
    words = sys.argv.copy()
    with cgroup(chosen.limit) as group:
        command = [*entering(group), sys.executable, *words, "--one-way", way]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        kills = kills_in(group)
    lines = done.stdout.splitlines()
    if not lines:
        nothing = {"ok": False, "seconds": 0.0, "peak": 0, "error": f"exit status {done.returncode}"}
        return {**nothing, "kills": kills}
    return {**json.loads(lines[-1]), "kills": kills}


def one_way(chosen: argparse.Namespace, way: str) -> dict[str, Any]:
    """Compile once, in this process."""
    job = make_job(chosen)
    sources = (job.source,)
    index = package_index(os.environ)
    fetched = fetch(job.loaded, sources, chosen.cache / "sources", Silent(), index_url=index)
    variant = job.variant
    if way == "one":
        highest = variant.capabilities.cubins[-1]
        variant = replace(variant, capabilities=CapabilitySet.of((highest,), ()))
    order = BuildOrder(
        loaded=job.loaded,
        fetched=fetched,
        fingerprint="benchmark",
        settings=job.settings,
        variant=variant,
        toolchain=job.request.toolchain,
    )
    history = History(chosen.cache / "costs.sqlite" if chosen.keep_history else Path("/nonexistent"))
    memory = None if chosen.memory is None else int(chosen.memory * GIB)
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        Jobserver(BudgetRequest(memory=memory), history, confined=way in OURS) as jobserver,
    ):
        place = Workplace(
            cache=chosen.cache,
            work=Path(folder),
            log=Path(folder) / "log",
            environ=dict(os.environ),
            jobserver=jobserver,
        )
        return measure(way, order, place, here=chosen.here)


def measure(way: str, order: BuildOrder, place: Workplace, *, here: bool) -> dict[str, Any]:
    """Lay out the source, compile it, and say what it took."""
    orders = halves(order) if way in {"together", "in-turn"} else (order,)
    works = [
        WayOfOne(way, one, replace(place, work=place.work / str(number)), here=here)
        for number, one in enumerate(orders)
    ]
    highest = Highest(place.jobserver)
    start, began, error = time.monotonic(), place.jobserver.now(), ""
    try:
        with ThreadPoolExecutor(max_workers=1 if way == "in-turn" else len(works)) as pool:
            for done in [pool.submit(work.compile) for work in works]:
                done.result()
    except CudawheelError as failed:
        error = f"{failed.what}: {failed.title}"
    seconds = time.monotonic() - start
    timeline = place.jobserver.timeline
    events = [event.text for event in timeline.events if event.kind != "withheld"]
    units = [
        (unit.source, unit.threads, round(unit.start - began, 1), round(unit.end - began, 1)) for unit in timeline.units
    ]
    return {
        "ok": not error,
        "seconds": seconds,
        "peak": highest.bytes,
        "error": error,
        "events": events,
        "units": units,
    }


def halves(order: BuildOrder) -> tuple[BuildOrder, BuildOrder]:
    """Give an order without its lowest and one without its highest capability: two variants of one size."""
    cubins = order.variant.capabilities.cubins
    return half(order, "upper", cubins[1:]), half(order, "lower", cubins[:-1])


def half(order: BuildOrder, name: str, kept: tuple[ComputeCapability, ...]) -> BuildOrder:
    """Give an order for these capabilities alone, under a name of its own, by which builds are told apart."""
    recipe = order.loaded.recipe
    package = recipe.package.model_copy(update={"name": f"{recipe.package.name}-{name}"})
    loaded = replace(order.loaded, recipe=recipe.model_copy(update={"package": package}))
    return replace(order, loaded=loaded, variant=replace(order.variant, capabilities=CapabilitySet.of(kept, ())))


class WayOfOne:
    """One build that is ready to be compiled."""

    def __init__(self, way: str, order: BuildOrder, place: Workplace, *, here: bool) -> None:
        place.work.mkdir()
        self.way, self.order, self.place = way, order, place
        self.project = lay_out(order.fetched, order.loaded, order.settings, place.work / "source")
        self.environment = (
            own_environment()
            if here
            else provide_environment(
                environment_spec(order, self.project, place), place.cache / "environments", place.log, Silent()
            )
        )
        self.tools = find_tools(order, self.environment, place, Silent())

    def compile(self) -> None:
        """Run the backend."""
        if self.way in OURS:
            Compiling(self.project, self.order, self.place, self.tools, Silent()).run(self.environment)
        else:
            bare(self.way, self.project, self.order, self.place, self.tools, self.environment)


class Highest:
    """The most memory that was seen in use."""

    def __init__(self, jobserver: Jobserver) -> None:
        self.bytes = 0
        jobserver.on_look = self._look

    def _look(self, used: int, _budget: int, _running: int, _waiting: int) -> None:
        self.bytes = max(self.bytes, used)


def bare(  # noqa: PLR0917 - everything of a build comes together here
    way: str, project: Path, order: BuildOrder, place: Workplace, tools: Tools, environment: Environment
) -> None:
    """Run the package's backend with nothing between it and the compilers."""
    jobs, _, threads = way.partition("x")
    fixed = {"MAX_JOBS": jobs, "CMAKE_BUILD_PARALLEL_LEVEL": jobs, "NVCC_APPEND_FLAGS": f"--threads {threads}"}
    path = search_path(
        place.environ.get("PATH", ""),
        first=(environment.scripts, tools.toolchain.home / "bin"),
        shadows=place.cache / "shadows",
    )
    extra = {
        **torch_variables(environment.site_packages),
        **capability_variables(order.settings, order.variant.capabilities),
        **order.settings.environment,
        **flag_variables(order.settings.environment),
        **(fixed if threads else {}),
    }
    environ = build_environment(
        place.environ, toolchain=tools.toolchain, compiler=tools.compiler, path=path, extra=extra
    )
    backend = Backend(project, environment, environ, log=place.log, progress=Silent(), confinement=Unheld())
    backend.build_wheel(order.settings.config_settings, place.work / "wheel")


def own_environment() -> Environment:
    """Give the environment that this Python runs in."""
    import torch  # noqa: PLC0415 - only where it is asked for

    site_packages = Path(torch.__file__).parents[1]
    return Environment(folder=Path(sys.prefix), python=Path(sys.executable), site_packages=site_packages, packages=())


def make_job(chosen: argparse.Namespace) -> Job:
    """Narrow the recipe to one source and one variant."""
    loaded = load_recipe(chosen.recipe)
    toolchain = "system" if chosen.here else "package"
    selection = read_selection(
        python_text=chosen.python,
        torch_text=chosen.torch,
        cuda_text=None,
        capabilities_text=chosen.capabilities,
        toolchain=toolchain,
    )
    request = BuildRequest(
        recipe=chosen.recipe,
        selection=selection,
        machine=this_machine(None),
        toolchain=toolchain,  # type: ignore[arg-type]
        redist_url="",
        source=chosen.source,
        wheelhouse=chosen.cache,
        cache=chosen.cache,
        reuse=False,
        environ=dict(os.environ),
    )
    return Job(request, loaded, candidates(loaded, chosen.source)[0])


if __name__ == "__main__":
    main()
