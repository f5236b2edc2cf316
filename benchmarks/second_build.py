"""A build that finds its wheel in the store, against the one before it that had to make it.

    python benchmarks/second_build.py recipes/torchmcubes.toml [options of `cudawheel build`]

Uses a store of its own, so the first build compiles; toolkits and packages come out of uv's cache where it holds them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5


def build(arguments: list[str], folder: Path) -> float:
    """Run one build; gives the seconds that it took."""
    start = time.monotonic()
    command = [sys.executable, "-m", "cudawheel", "build", *arguments]
    folders = ["--cache", str(folder / "cache"), "--wheelhouse", str(folder / "wheelhouse")]
    subprocess.run([*command, *folders], check=True, capture_output=True)
    return time.monotonic() - start


def main() -> None:
    """Compare a first build with the ones after it."""
    with tempfile.TemporaryDirectory() as folder:
        first = build(sys.argv[1:], Path(folder))
        again = sorted(build(sys.argv[1:], Path(folder)) for _ in range(ROUNDS))
    middle = again[len(again) // 2]
    print(f"first {first:.1f} s, then {middle:.2f} s (median of {ROUNDS}): {first / middle:.0f} times faster")


if __name__ == "__main__":
    main()
