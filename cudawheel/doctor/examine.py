"""All probes together, side by side where they wait for programs: a `Machine` is what comes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from cudawheel.doctor.machine import Machine
from cudawheel.doctor.probes.driver import probe_driver
from cudawheel.doctor.probes.installed import environment_python, probe_environment, probe_other_torches
from cudawheel.doctor.probes.memory import probe_memory
from cudawheel.doctor.probes.places import probe_folders, probe_network
from cudawheel.doctor.probes.pythons import probe_pythons
from cudawheel.doctor.probes.toolkits import probe_compilers, probe_toolkits, probe_tools
from cudawheel.doctor.probes.wsl import probe_wsl
from cudawheel.doctor.trials import try_torch
from cudawheel.doctor.world import World

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
    with ThreadPoolExecutor(6) as pool:
        wsl = pool.submit(probe_wsl, world)
        network = None if addresses is None else pool.submit(probe_network, world, tuple(addresses))
        chosen = environment_python(world, python)
        trial = pool.submit(try_torch, world, chosen) if importing else None
        looking = pool.submit(probe_environment, world, chosen, all_packages=all_packages)
        toolkits, compilers = pool.submit(probe_toolkits, world), pool.submit(probe_compilers, world)
        driver = pool.submit(probe_driver, world)
        pythons = probe_pythons(world)
        environment = looking.result()
        if trial is not None and environment.torch is not None:
            environment = replace(environment, torch=replace(environment.torch, trial=trial.result()))
        others = probe_other_torches(world, [found.path for found in pythons], environment)
        return Machine(
            system=world.system,
            processor=world.processor,
            memory=probe_memory(world),
            driver=driver.result(),
            environment=environment,
            wsl=wsl.result(),
            toolkits=toolkits.result(),
            compilers=compilers.result(),
            pythons=pythons,
            other_torches=others,
            folders=probe_folders(world, folders or {}),
            reaches=None if network is None else network.result(),
            tools=probe_tools(world),
            variables={name: world.environ[name] for name in _VARIABLES if world.environ.get(name) is not None},
        )
