"""Warnings of builds that run side by side."""

from __future__ import annotations

import threading
import warnings

import pytest

from cudawheel.builder.warnings_apart import warnings_of_this_thread


def warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=2)


def test_each_thread_hears_its_own_warnings_and_nobody_elses() -> None:
    both_inside, one_outside = threading.Barrier(2), threading.Event()
    heard: dict[str, list[str]] = {}

    def build(name: str) -> None:
        with warnings_of_this_thread() as mine:
            both_inside.wait(30)
            warn(f"early {name}")
            if name == "last":
                one_outside.wait(30)
                warn(f"late {name}")
        heard[name] = mine
        one_outside.set()

    threads = [threading.Thread(target=build, args=(name,)) for name in ("first", "last")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {
        "first": ["UserWarning: early first"],
        "last": ["UserWarning: early last", "UserWarning: late last"],
    }


def warn_and_fail() -> None:
    warn("within")
    raise ZeroDivisionError


def test_afterwards_warnings_are_what_they_were() -> None:
    before = warnings.showwarning, list(warnings.filters)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), warnings_of_this_thread() as mine:
            warn_and_fail()
        assert mine == ["UserWarning: within"]
        assert (warnings.showwarning, list(warnings.filters)) == before
    with pytest.warns(UserWarning, match="outside"):
        warn("outside")
    assert mine == ["UserWarning: within"]
