"""What holds for all tests."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from cudawheel import process

# Even where the environment asks for none: without bytecode every process that runs tests rewrites and compiles them
# all anew, and each of the hundreds of programs that they start compiles what it imports.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Enough to find most things in a minute; HYPOTHESIS_PROFILE=thorough looks longer.
settings.register_profile("quick", max_examples=50)
settings.register_profile("thorough", max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among the tests: five thousand of them stay to the end, with all that they import."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Let Ctrl-C mean something: what a shell starts in the background ignores it, and so would all our programs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def nothing_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let programs be started again after a test that has ended all of them, as a cudawheel that stops does."""
    monkeypatch.setattr(process, "_stopped", threading.Event())
