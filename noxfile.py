"""The project's own tasks: `nox -s build`, `nox -s tests`, `nox -s lint`, `nox -s verify`."""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "uv|venv"
nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True

_PROJECT = nox.project.load_toml("pyproject.toml")


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel of a recipe: `nox -s build -- recipes/chamferdist.toml --capabilities "9.0;12.0"`."""
    session.install(".")
    session.run("cudawheel", "build", *(session.posargs or ["recipes/torchmcubes.toml"]))


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests, the ones that build real wheels included; `-- -m "not integration"` leaves those out."""
    session.install("-e", ".", *nox.project.dependency_groups(_PROJECT, "test"))
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    if not session.posargs:
        rooms = ",".join(f"cudawheel/{room}/*" for room in ("model", "recipe", "plan", "audit", "schedule"))
        session.run("coverage", "report", f"--include={rooms}", "--fail-under=95")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    session.install("-e", ".", "nox", *nox.project.dependency_groups(_PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def verify(session: nox.Session) -> None:
    """Check the wheels in the wheelhouse: which GPUs each runs on, and that the bundled port computes rightly."""
    session.install("-e", ".", "pytest", "numpy")
    session.run("cudawheel", "inspect", "wheelhouse")
