"""The project's own tasks: `nox -s build`, `nox -s tests`, `nox -s lint`, `nox -s verify`."""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|venv"
nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True

_PROJECT = nox.project.load_toml("pyproject.toml")
_TORCH_OF_TESTS = "torch==2.13.*"
# Tests with programs that wait for one another more than they work, and compile nothing.
_SIDE_BY_SIDE = ("test_farm.py", "test_index_*.py", "test_store_*.py")


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel of a recipe: `nox -s build -- recipes/chamferdist.toml --capabilities "9.0;12.0"`."""
    session.install(".")
    session.run("cudawheel", "build", *(session.posargs or ["recipes/torchmcubes.toml"]))


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests, the ones that build real wheels included; `-- -m "not integration"` leaves those out."""
    session.install("pip")
    # By pip itself, which heeds where a person lets it find wheels: with a CPU build of torch there, which has a local
    # version and so comes first, no CUDA is fetched. uv knows nothing of those places, and leaves what is installed.
    session.run("python", "-m", "pip", "install", "--quiet", _TORCH_OF_TESTS)
    session.install("-e", ".[triposr]", *nox.project.dependency_groups(_PROJECT, "test", "test-triposr"))
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    # Those that build wheels fill all cores by themselves, and watch how compilers share them.
    waiting = sorted(str(path) for name in _SIDE_BY_SIDE for path in Path("tests/integration").glob(name))
    session.run("pytest", "-n", "auto", "--cov", "--cov-report=", "tests/unit", "tests/gpu", *waiting)
    apart = [f"--ignore={path}" for path in waiting]
    session.run("pytest", "--cov", "--cov-report=", "--cov-append", "tests/integration", *apart)
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
    """Prove what torchmcubes' wheel computes, or another's: `nox -s verify -- chamferdist --require-gpu`.

    Its wheel is built, or taken from the cache, unless the wheelhouse holds one.
    """
    session.install(".")
    named = session.posargs and not session.posargs[0].startswith("-")
    subject, *options = session.posargs if named else ["torchmcubes", *session.posargs]
    is_recipe = Path("recipes", f"{subject}.toml").is_file()
    if is_recipe and not list(Path("wheelhouse").glob(f"{subject}-*.whl")):
        session.run("cudawheel", "build", f"recipes/{subject}.toml")
    session.run("cudawheel", "verify", subject, *options)
