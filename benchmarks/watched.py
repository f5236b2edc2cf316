"""A bare `pip install` of a CUDA sdist on a machine with little memory, and the same under `cudawheel watch`.

    python benchmarks/watched.py PYTHON PACKAGE --limit 4

PYTHON is that of an environment with torch, setuptools, ninja and pip; CUDA_HOME names a toolkit. Both run in a cgroup
of the given size, one after the other, and install into a folder that is removed again. Prints for each its exit
status, how many processes the kernel killed, and the time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from limited import cgroup, entering, kills_in


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="of the environment that is built in")
    parser.add_argument("package", help="what pip is to install, such as chamferdist==1.0.3")
    parser.add_argument("--limit", type=float, default=4.0, help="GiB")
    return parser.parse_args()


def main() -> None:
    """Install twice."""
    chosen = options()
    words = [
        "--no-build-isolation",
        "--no-deps",
        "--no-cache-dir",
        "--no-binary",
        ":all:",
        "--disable-pip-version-check",
    ]
    for name, guard in (("bare", []), ("watch", [sys.executable, "-m", "cudawheel", "watch", "--"])):
        with tempfile.TemporaryDirectory() as folder, cgroup(chosen.limit) as group:
            pip = [chosen.python, "-m", "pip", "install", *words, "--target", folder, chosen.package]
            began = time.monotonic()
            done = subprocess.run([*entering(group), *guard, *pip], check=False, capture_output=True, text=True)
            seconds = time.monotonic() - began
            installed = sorted(path.name for path in Path(folder).glob("*.dist-info"))
            kills = kills_in(group)
        print(
            f"{name:>6}  exit {done.returncode}  {kills} killed for memory  {seconds:6.1f} s  {installed}", flush=True
        )
        print("\n".join(f"        {line}" for line in (done.stdout + done.stderr).splitlines()[-12:]), flush=True)


if __name__ == "__main__":
    main()
