"""Where builds write, and whom they fetch from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from cudawheel.doctor.machine import Folder, Reach
from cudawheel.doctor.world import World, is_folder

_PORTS = {"http": 80, "https": 443, "ssh": 22, "git": 9418}


def probe_folders(world: World, folders: Mapping[str, str]) -> tuple[Folder, ...]:
    """Look at folders: what is free there, and whether this user may write.

    Args:
        world: where they lie.
        folders: what each is for, and its absolute path; it need not exist yet.
    """
    return tuple(_look(world, what, path) for what, path in folders.items())


def _look(world: World, what: str, path: str) -> Folder:
    wanted = world.at(path)
    standing = wanted
    while not _there(standing) and standing != standing.parent:
        standing = standing.parent
    try:
        status = os.statvfs(standing)
    except OSError:
        return Folder(what=what, path=path, writable=False, exists=False)
    return Folder(
        what=what,
        path=path,
        free=status.f_bavail * status.f_frsize,
        writable=is_folder(standing) and os.access(standing, os.W_OK | os.X_OK),
        exists=standing == wanted,
    )


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def probe_network(world: World, addresses: Iterable[tuple[str, str]]) -> tuple[Reach, ...]:
    """Try whether sources take connections, all at once, through the proxy that the environment names.

    Args:
        world: whose network it is.
        addresses: what each is, and its URL. Of a URL only the host is ever kept, since the rest may hold a password.
    """
    wanted: dict[tuple[str, int], str] = {}
    for what, url in addresses:
        proxy = _proxy(world, url.partition("://")[0])
        place = _host(proxy or url)
        if place is not None:
            wanted.setdefault(place, "the proxy" if proxy else what)
    if not wanted:
        return ()
    with ThreadPoolExecutor(len(wanted)) as pool:
        faults = pool.map(lambda place: world.connect(*place), wanted)
        return tuple(
            Reach(what=what, host=host, fault=fault)
            for ((host, _), what), fault in zip(wanted.items(), faults, strict=True)
        )


def _proxy(world: World, scheme: str) -> str:
    if scheme not in {"http", "https"}:
        return ""
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    proxy = next((world.environ[name] for name in names if world.environ.get(name)), "")
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def _host(url: str) -> tuple[str, int] | None:
    """Give host and port of a URL; None where it has no host, or nonsense for a port."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme.rpartition("+")[2], 443)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname else None
