"""Memory and cores: /proc/meminfo and the cgroups above this process."""

from __future__ import annotations

import re

from cudawheel.doctor.machine import Memory
from cudawheel.doctor.world import World
from cudawheel.schedule.limits import MemoryLimit, group_limits, machine_limit, usable_cores

_LINE = re.compile(r"^(\w+):\s+(\d{1,15}) kB$", re.MULTILINE)


def probe_memory(world: World) -> Memory:
    """Look at memory; what holds no sense counts as unknown."""
    fields = {name: int(kibibytes) * 1024 for name, kibibytes in _LINE.findall(world.text("/proc/meminfo"))}
    return Memory(
        machine=_machine(fields),
        groups=group_limits(world.root),
        swap=fields.get("SwapTotal", 0),
        cores=usable_cores(world.root),
    )


def _machine(fields: dict[str, int]) -> MemoryLimit | None:
    # MemAvailable came with Linux 3.14 (proc(5)); before it, what is free is the least that is available.
    total, available = fields.get("MemTotal", 0), fields.get("MemAvailable", fields.get("MemFree"))
    if total <= 0 or available is None or available > total:
        return None
    return machine_limit(total, available)
