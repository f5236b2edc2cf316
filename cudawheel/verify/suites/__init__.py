"""Suites of checks, one package of wheels each; a new one is a module here and a line in the table."""

from __future__ import annotations

# Name: module and attribute. They are imported where their name is asked for, and have to import without torch.
SUITES: dict[str, str] = {
    "chamferdist": "cudawheel.verify.suites.chamferdist:SUITE",
    "torchmcubes": "cudawheel.verify.suites.torchmcubes:SUITE",
}
