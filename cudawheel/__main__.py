"""`python -m cudawheel`."""

from __future__ import annotations

from cudawheel.cli.main import run

if __name__ == "__main__":
    run()
