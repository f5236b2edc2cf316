"""Answers that are no failures of cudawheel: a script tells them apart by their exit codes."""

from __future__ import annotations

from cudawheel.errors.base import CudawheelError


class ProblemFoundError(CudawheelError):
    """`doctor`: something on this machine keeps a build, or code for a GPU, from working; an answer, not a failure."""

    exit_code = 60
    title = "problem found"


class WarningFoundError(CudawheelError):
    """`doctor`: nothing keeps a build from working, and something is likely to trip over; an answer as well."""

    exit_code = 61
    title = "warning found"


class NothingKnownError(CudawheelError):
    """`explain`: the text shows nothing that is known; an answer rather than a failure."""

    exit_code = 65
    title = "nothing known found"
