"""Serving and exporting a wheelhouse of 5,000 wheels: times of pages at 200 requests a second, times of exports.

    python benchmarks/index.py [--wheels 5000] [--seconds 20] [--rate 200]

The wheels are synthetic, of some 20 kB, in 50 projects; the load comes from this process over loopback, on keep-alive
connections, at moments that are fixed beforehand, so that a slow answer does not spare the server the next requests.
A time counts from the moment at which the request was due. Every two seconds a wheel is added to the wheelhouse.
Needs the extra `index`. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

PROJECTS = 50
CONNECTIONS = 8
PADDING = 20_000
ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
EVERY_SECONDS = 2.0


def main() -> None:
    """Measure, and print what was found."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--wheels", type=int, default=5000)
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--rate", type=float, default=200.0)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="index-") as name:
        folder = Path(name)
        house = folder / "wheelhouse"
        house.mkdir()
        for number in range(asked.wheels):
            make_wheel(house, number)
        found: dict[str, Any] = {"wheels": asked.wheels, "projects": PROJECTS, "cores": os.cpu_count()}
        found["export"] = measure_exports(house, folder / "site", asked.wheels)
        found["serve"] = measure_serving(house, asked.wheels + 1, rate=asked.rate, seconds=asked.seconds)
    print(json.dumps(found, indent=2))


def make_wheel(house: Path, number: int) -> None:
    """Write one wheel, by a rename, as cudawheel does."""
    project, turn = f"kernels_{number % PROJECTS:02}", number // PROJECTS
    python, torch = ("cp310", "cp311", "cp312", "cp313")[turn % 4], 6 + turn // 4 % 8
    version = f"1.{turn // 32}+cu.13.{number % 3}.torch.2.{torch}"
    info, tag = f"{project}-{version}.dist-info", f"{python}-{python}-manylinux_2_28_x86_64"
    texts = {
        f"{project}/__init__.py": b"",
        f"{project}/_C.so": random.Random(number).randbytes(PADDING),  # noqa: S311 - nothing secret
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\nRequires-Python: >=3.10\n"
        f"Requires-Dist: torch==2.{torch}.*\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
    }
    rows = [f"{path},sha256={digest(text)},{len(text)}\n" for path, text in texts.items()]
    new = house / ".new"
    with zipfile.ZipFile(new, "w") as archive:
        for path, content in {**texts, f"{info}/RECORD": "".join([*rows, f"{info}/RECORD,,\n"]).encode()}.items():
            archive.writestr(path, content)
    new.replace(house / f"{project}-{version}-{tag}.whl")


def digest(content: bytes) -> str:
    """Hash as RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def measure_exports(house: Path, site: Path, wheels: int) -> dict[str, float]:
    """Time the command, from its start to its end: nothing known, nothing changed, one wheel more."""
    cold = time_export(house, site)
    unchanged = time_export(house, site)
    make_wheel(house, wheels)
    changed = time_export(house, site)
    shutil.rmtree(site)
    return {
        "cold_seconds": cold,
        "unchanged_seconds": unchanged,
        "one_change_seconds": changed,
        "wheels_known_seconds": time_export(house, site),
    }


def time_export(house: Path, site: Path) -> float:
    """Time one export, in seconds."""
    command = [sys.executable, "-m", "cudawheel", "index", "export", str(site), "--wheelhouse", str(house)]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def measure_serving(house: Path, number: int, *, rate: float, seconds: float) -> dict[str, Any]:
    """Serve, and time what is asked for: pages in three ways, quietly and while wheels come in."""
    command = [sys.executable, "-m", "cudawheel", "serve", str(house), "--port", "0", "--no-log"]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            if server.stdout is None:
                raise RuntimeError(command)
            port = int(server.stdout.readline().split("/simple/")[0].rpartition(":")[2])
            found: dict[str, Any] = {"start_seconds": time.perf_counter() - start, "rate": rate, "seconds": seconds}
            asyncio.run(load(port, rate, 2.0))  # renders every page once
            found["page_ms"] = summary(asyncio.run(load(port, rate, seconds)))
            adding = [house, number]
            found["page_while_wheels_come_in_ms"] = summary(asyncio.run(load(port, rate, seconds, adding=adding)))
            found["requests_per_second_at_most"] = asyncio.run(throughput(port))
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
    return found


async def load(port: int, rate: float, seconds: float, *, adding: list[Any] | None = None) -> list[float]:
    """Ask for project pages at a fixed rate; gives the milliseconds from when each was due to when it was there."""
    times: list[float] = []
    start = time.perf_counter() + 0.1
    due = iter([start + turn / rate for turn in range(round(rate * seconds))])
    choose = random.Random(7)  # noqa: S311 - nothing secret

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for moment in due:
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            await ask(reader, writer, choose.randrange(PROJECTS))
            times.append((time.perf_counter() - moment) * 1000)
        writer.close()
        await writer.wait_closed()

    async def add() -> None:
        house, number = adding or (None, 0)
        while house is not None and time.perf_counter() < start + seconds:
            await asyncio.sleep(EVERY_SECONDS)
            await asyncio.to_thread(make_wheel, house, number)
            number += 1

    await asyncio.gather(add(), *(work() for _ in range(CONNECTIONS)))
    return times


async def throughput(port: int, seconds: float = 5.0) -> float:
    """Ask as fast as answers come, on all connections; gives requests a second."""
    done, stop = 0, time.perf_counter() + seconds

    async def work(number: int) -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < stop:
            await ask(reader, writer, number)
            done += 1
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(work(number) for number in range(CONNECTIONS)))
    return done / seconds


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    """Ask for one project's page and read it whole."""
    page = f"GET /simple/kernels-{number:02}/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {ACCEPT}\r\n\r\n"
    writer.write(page.encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    if not head.startswith("http/1.1 200"):
        raise RuntimeError(head)
    await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))


def summary(times: list[float]) -> dict[str, float]:
    """Give what matters of many times."""
    cuts = statistics.quantiles(times, n=1000)
    found = {"median": statistics.median(times), "p90": cuts[899], "p99": cuts[989], "p999": cuts[998]}
    return {**found, "most": max(times), "requests": len(times)}


if __name__ == "__main__":
    main()
