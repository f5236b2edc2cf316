"""All probes together, side by side where they wait for programs: a `Machine` is what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from cudawheel.doctor.machine import Driver, DriverState, Environment, Machine, Memory, Python, TorchTrial
from cudawheel.doctor.probes.driver import probe_driver
from cudawheel.doctor.probes.installed import environment_python, probe_environment, probe_other_torches
from cudawheel.doctor.probes.memory import probe_memory
from cudawheel.doctor.probes.places import probe_folders, probe_network
from cudawheel.doctor.probes.pythons import probe_pythons
from cudawheel.doctor.probes.toolkits import probe_compilers, probe_toolkits, probe_tools
from cudawheel.doctor.probes.wsl import probe_wsl
from cudawheel.doctor.trials import try_torch
from cudawheel.doctor.world import World

_Found = TypeVar("_Found")

# What steers builds and decides which GPUs CUDA sees.
_VARIABLES = (
    "TORCH_CUDA_ARCH_LIST",
    "CUDAARCHS",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME",
    "CUDA_PATH",
    "CXX",
    "MAX_JOBS",
    "NVCC_APPEND_FLAGS",
    "NVCC_PREPEND_FLAGS",
    "NVCC_THREADS",
)


def examine(
    world: World,
    *,
    python: str | None = None,
    folders: Mapping[str, str] | None = None,
    addresses: Iterable[tuple[str, str]] | None = None,
    all_packages: bool = False,
    importing: bool = False,
) -> Machine:
    """Look at a machine. Nothing is changed.

    Args:
        world: what to look at.
        python: the environment to look into: a program or folder; None is the active one.
        folders: what builds write to, as `probe_folders` takes it.
        addresses: whom builds fetch from, as `probe_network` takes it; None tries nobody.
        all_packages: read the device code of CUDA's own libraries too.
        importing: import torch as well, in a process of its own; otherwise nothing is imported.
    """
    guard = _Guard(world)
    variables = {name: world.environ[name] for name in _VARIABLES if name in world.environ}
    with ThreadPoolExecutor(6) as pool:
        wsl = pool.submit(guard, probe_wsl, None)
        network = None if addresses is None else pool.submit(guard, probe_network, (), tuple(addresses))
        chosen = environment_python(world, python)
        unknown = Environment(python=chosen, fault="it could not be looked into")
        trial = pool.submit(guard, try_torch, None, chosen) if importing else None
        looking = pool.submit(guard, probe_environment, unknown, chosen, all_packages=all_packages)
        toolkits, compilers = pool.submit(guard, probe_toolkits, ()), pool.submit(guard, probe_compilers, ())
        driver = pool.submit(guard, probe_driver, Driver(state=DriverState.BROKEN, fault="it could not be asked"))
        pythons: tuple[Python, ...] = guard(probe_pythons, ())
        environment = _with_trial(looking.result(), trial.result() if trial is not None else None)
        return Machine(
            system=world.system,
            processor=world.processor,
            memory=guard(probe_memory, Memory()),
            driver=driver.result(),
            environment=environment,
            wsl=wsl.result(),
            toolkits=toolkits.result(),
            compilers=compilers.result(),
            pythons=pythons,
            other_torches=guard(probe_other_torches, (), [found.path for found in pythons], environment),
            folders=guard(probe_folders, (), folders or {}),
            reaches=None if network is None else network.result(),
            tools=guard(probe_tools, ()),
            variables=variables,
            faults=tuple(guard.faults),
        )


def _with_trial(environment: Environment, trial: TorchTrial | None) -> Environment:
    """Add what came of importing torch, where there is one."""
    torch = environment.torch
    return replace(environment, torch=replace(torch, trial=trial)) if torch and trial else environment


class _Guard:
    """Runs probes. Whatever a broken machine makes of one of them, the others still have something to say."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.faults: list[str] = []

    def __call__(self, probe: Callable[..., _Found], otherwise: _Found, /, *words: object, **named: object) -> _Found:
        try:
            return probe(self._world, *words, **named)
        except Exception as error:  # noqa: BLE001 - it is told as a finding
            name = probe.__name__.removeprefix("probe_").replace("_", " ")
            self.faults.append(f"{name}: {type(error).__name__}: {error}")
            return otherwise
