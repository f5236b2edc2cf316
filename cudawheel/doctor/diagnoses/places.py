"""Disk and network."""

from __future__ import annotations

from collections.abc import Iterator

from cudawheel.doctor.diagnoses.words import gib, listing
from cudawheel.doctor.finding import Finding, Severity
from cudawheel.doctor.machine import NVIDIA_ARCHIVES, Folder, Machine
from cudawheel.schedule.limits import GIB

# A build's environment, torch and a CUDA toolkit out of the package index: 4.9 GB, and as much in the cache of uv.
_COMFORTABLE, _LEAST = 12 * GIB, 6 * GIB

_NEEDED_FOR = {NVIDIA_ARCHIVES: "--toolchain redist"}


def diagnose_folders(machine: Machine) -> Iterator[Finding]:
    """Judge the folders that builds write to; those of one kind are told in one line."""
    good = []
    for folder in machine.folders:
        finding = _judge(folder)
        if finding is None:
            good.append(folder)
        else:
            yield finding
    if good:
        least = min(folder.free or 0 for folder in good)
        names = listing(folder.what for folder in good)
        free = f"{gib(least)} free for {names}"
        yield Finding(section="disk", code="disk", severity=Severity.GOOD, found=free)


def _judge(folder: Folder) -> Finding | None:
    if not folder.writable:
        return Finding(
            section="disk",
            code="disk-not-writable",
            severity=Severity.PROBLEM,
            found=f"{folder.what}: {folder.path} cannot be written",
            remedy=("Choose another: --cache FOLDER (or CUDAWHEEL_CACHE), --wheelhouse FOLDER, TMPDIR",),
        )
    if folder.free is None or folder.free >= _COMFORTABLE:
        return None
    short = folder.free < _LEAST
    return Finding(
        section="disk",
        code="disk-short",
        severity=Severity.PROBLEM if short and folder.what == "cache" else Severity.WARNING,
        found=f"{folder.what}: {gib(folder.free)} free at {folder.path}; torch and a toolkit take 5 GiB, twice with "
        "uv's cache",
        remedy=("Make room: cudawheel cache prune --help, uv cache prune; or choose another disk with --cache",),
    )


def diagnose_network(machine: Machine) -> Iterator[Finding]:
    """Judge whether sources can be reached; nothing where nobody tried."""
    if machine.reaches is None:
        return
    for reach in machine.reaches:
        if reach.fault:
            only = _NEEDED_FOR.get(reach.what)
            yield Finding(
                section="network",
                code="network-unreachable",
                severity=Severity.NOTE if only else Severity.WARNING,
                found=f"{reach.what} ({reach.host}) cannot be reached: {reach.fault}"
                + (f"; needed for {only} alone" if only else ""),
                remedy=() if only else ("Behind a proxy: export HTTPS_PROXY=http://HOST:PORT",),
            )
    answering = [reach.what for reach in machine.reaches if not reach.fault]
    if answering:
        verb = "answers" if len(answering) == 1 else "answer"
        found = f"{listing(answering)} {verb}"
        yield Finding(section="network", code="network", severity=Severity.GOOD, found=found)
    elif not machine.reaches:
        found = "nothing is fetched over the network here: the package index is a folder"
        yield Finding(section="network", code="network-local", severity=Severity.NOTE, found=found)
