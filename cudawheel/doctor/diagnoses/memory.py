"""Memory: how much builds may take, what holds it down, and how to have more of it under WSL2."""

from __future__ import annotations

from collections.abc import Iterator

from cudawheel.doctor.diagnoses.words import gib
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.machine import Machine, Memory, Wsl, WslConfig
from cudawheel.model.counting import count
from cudawheel.schedule.budget import slots_for
from cudawheel.schedule.limits import GIB

# What one compiler takes at its peak on a source with torch's headers: 2.98 GB, measured with nvcc 13.0.
COMPILER_MEMORY = 3 * GIB
# Windows is left a quarter of the computer, within these bounds.
_WINDOWS_LEAST, _WINDOWS_MOST = 4 * GIB, 16 * GIB
# A WSL that has so much of the computer has what its user wanted it to have.
_FAIR_SHARE = 0.6
# The kernel keeps some of what it is given: 48 GB show as 47.0 GiB or so.
_SHOWN_AT_LEAST = 0.9
_AMPLE = 32 * GIB

_UNKNOWN_LINES = ("[wsl2]", "memory=16GB   (three quarters of what the computer has)")
_RESTART = "then in PowerShell, with all work in WSL saved: wsl --shutdown"


def diagnose_memory(machine: Machine) -> Iterator[Finding]:
    """Judge memory, and WSL where this is one."""
    memory, wsl = machine.memory, machine.wsl
    yield _room(memory)
    yield from _groups(memory)
    if wsl is not None:
        yield from _wsl(memory, wsl)
    yield from _jobs(machine)


def _room(memory: Memory) -> Finding:
    if memory.room is None or memory.machine is None:
        return Finding(
            section="memory",
            code="memory-unknown",
            severity=Severity.WARNING,
            found="/proc/meminfo cannot be read, or holds no sense: how much memory there is nobody knows",
            remedy=("Give builds a limit yourself: cudawheel build RECIPE --memory 12G",),
        )
    at_once = max(0, min(memory.room // COMPILER_MEMORY, slots_for(memory.cores)))
    cores = count(memory.cores, "core")
    found = (
        f"{gib(memory.machine.limit)}, {gib(memory.machine.available)} free; builds may take "
        f"{gib(max(0, memory.room))} on {cores}: "
    )
    if at_once == 0:
        return Finding(
            section="memory",
            code="memory-short",
            severity=Severity.PROBLEM,
            found=f"{found}not even one compiler with torch's headers, which takes {gib(COMPILER_MEMORY)}",
            remedy=("Close what you can, or raise the limit below.",)
            if _held_down(memory)
            else ("Close what you can; swap does not help, since compilers use all of their memory at once.",),
        )
    return Finding(
        section="memory",
        code="memory",
        severity=Severity.WARNING if at_once == 1 and memory.cores > 1 else Severity.GOOD,
        found=f"{found}{count(at_once, 'compiler')} at once",
        remedy=("It builds, one file after another. cudawheel keeps to that by itself; a bare pip needs MAX_JOBS=1.",)
        if at_once == 1 and memory.cores > 1
        else (),
    )


def _held_down(memory: Memory) -> bool:
    return bool(memory.groups)


def _groups(memory: Memory) -> Iterator[Finding]:
    """Judge limits of cgroups: those of containers, of systemd's slices, of batch systems."""
    for group in memory.groups:
        if memory.machine is not None and group.limit >= memory.machine.limit:
            continue
        short = group.room < COMPILER_MEMORY
        tight = group.room < 2 * COMPILER_MEMORY
        whole = f" of the machine's {gib(memory.machine.limit)}" if memory.machine else ""
        yield Finding(
            section="memory",
            code="memory-cgroup",
            severity=Severity.PROBLEM if short else Severity.WARNING if tight else Severity.NOTE,
            found=f"this container or session ({group.name}) is allowed {gib(group.limit)}{whole}, "
            f"{gib(max(0, group.available))} of it free; past it the kernel kills",
            remedy=("Start the container with more: docker run --memory 16g … (or the limit of its pod or slice)",)
            if tight
            else (),
        )


def _wsl(memory: Memory, wsl: Wsl) -> Iterator[Finding]:
    if wsl.version == 1:
        yield Finding(
            section="WSL",
            code="wsl-1",
            severity=Severity.PROBLEM,
            found="this is WSL1, which has no GPU and no Linux kernel",
            remedy=("In PowerShell: wsl --set-version DISTRIBUTION 2",),
        )
        return
    total = memory.machine.limit if memory.machine else None
    config = wsl.config
    if config is not None and config.faults:
        yield _misread(config, wsl)
        return
    if config is not None and total is not None and config.memory and total < config.memory * _SHOWN_AT_LEAST:
        yield _not_in_effect(config, wsl, total)
        return
    yield _share(total, wsl)


def _misread(config: WslConfig, wsl: Wsl) -> Finding:
    return Finding(
        section="WSL",
        code="wsl-config-unread",
        severity=Severity.WARNING,
        found=f"{config.path} does not say what it means to: {'; '.join(config.faults)}",
        remedy=("Write it like this:", *(wsl_lines(wsl.host_memory) or _UNKNOWN_LINES), _RESTART),
    )


def _not_in_effect(config: WslConfig, wsl: Wsl, total: int) -> Finding:
    """Say why WSL has less than its file gives it: it was not restarted, or the computer has no more."""
    asked = gib(config.memory or 0)
    restarted = config.modified is None or wsl.booted is None or config.modified < wsl.booted
    when = "and WSL was started since" if restarted else "and WSL has not been restarted since it was written"
    return Finding(
        section="WSL",
        code="wsl-memory-not-granted" if restarted else "wsl-not-restarted",
        severity=Severity.WARNING,
        found=f"{config.path} gives WSL {asked}, it has {gib(total)}, {when}",
        remedy=(
            "Is it the file of the user who starts WSL? Is the computer's memory larger? Then in PowerShell:",
            "wsl --shutdown",
        )
        if restarted
        else ("In PowerShell, with all work in WSL saved:", "wsl --shutdown"),
    )


def _share(total: int | None, wsl: Wsl) -> Finding:
    computer = wsl.host_memory
    if total is None or (computer is None and total >= _AMPLE) or (computer and total >= computer * _FAIR_SHARE):
        has = "how much it has is unknown" if total is None else f"it has {gib(total)}"
        of = f" of the computer's {gib(computer)}" if computer else ""
        return Finding(section="WSL", code="wsl", severity=Severity.GOOD, found=f"WSL2; {has}{of}")
    lines = wsl_lines(computer)
    where = wsl.profile or "%USERPROFILE%"
    return Finding(
        section="WSL",
        code="wsl-memory",
        severity=Severity.NOTE if total >= _AMPLE else Severity.WARNING,
        found=f"WSL2 may use {gib(total)}"
        + (f" of the computer's {gib(computer)}" if computer else "; Windows did not say how much the computer has"),
        remedy=(
            f"Write into {where}\\.wslconfig:",
            *(lines or _UNKNOWN_LINES),
            _RESTART,
        ),
    )


def wsl_lines(computer: int | None) -> tuple[str, ...]:
    """Give the lines of .wslconfig for a computer with so much memory; none where that is unknown.

    Windows keeps a quarter, at least 4 and at most 16 GB. WSL takes whole gigabytes (Microsoft, "Advanced settings
    configuration in WSL").
    """
    if not computer:
        return ()
    # What Windows counts is a little less than what was bought: 63.7 GiB of 64.
    bought = -(-computer // (2 * GIB)) * 2 * GIB
    left = min(max(bought // 4, _WINDOWS_LEAST), _WINDOWS_MOST)
    return "[wsl2]", f"memory={max(1, (bought - left) // GIB)}GB"


def _jobs(machine: Machine) -> Iterator[Finding]:
    """Judge MAX_JOBS, which other people's builds take at its word."""
    text, room = machine.variables.get("MAX_JOBS", ""), machine.memory.room
    if not text.isdecimal() or room is None or int(text) * COMPILER_MEMORY <= room:
        return
    fitting = max(1, room // COMPILER_MEMORY)
    yield Finding(
        section="memory",
        code="max-jobs",
        severity=Severity.WARNING,
        found=f"MAX_JOBS={text} may take {gib(int(text) * COMPILER_MEMORY)} with torch's headers, and "
        f"{gib(max(0, room))} may be taken",
        remedy=(f"export MAX_JOBS={fitting}",),
    )
