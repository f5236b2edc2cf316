from __future__ import annotations

import errno
import pickle

import pytest
from exit_code_table import PAGE, error_classes, render

from cudawheel.errors import BuildError, CudawheelError, DiskFullError, Fault, OutOfMemoryError, RecipeError, StoreError

CLASSES = error_classes()


def test_every_error_has_an_exit_code_of_its_own() -> None:
    codes = {kind.__name__: vars(kind).get("exit_code") for kind in CLASSES}
    assert None not in codes.values(), "inherited, so not distinct"
    assert len(set(codes.values())) == len(codes)


def test_exit_codes_mean_nothing_else_to_a_shell() -> None:
    # 126 and above are the shell's: not executable, not found, 128 + signal; 130 is Ctrl-C for both.
    assert all(0 < kind.exit_code < 126 or kind.exit_code == 128 + 2 for kind in CLASSES)


def test_every_error_has_a_title_and_a_meaning_of_its_own() -> None:
    titles = [vars(kind)["title"] for kind in CLASSES]
    meanings = [(kind.__doc__ or "").splitlines()[0] for kind in CLASSES]
    assert len(set(titles)) == len(set(meanings)) == len(CLASSES)
    assert all(titles)
    assert all(meanings)


def test_the_page_of_exit_codes_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "python tests/unit/exit_code_table.py > docs/exit-codes.md"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CudawheelError("it broke"), "it broke"),
        (CudawheelError("it broke", why="too hot"), "it broke\ntoo hot"),
        (CudawheelError("it broke", remedy="cool it"), "it broke\ncool it"),
        (CudawheelError("it broke", why="too hot", remedy="cool it"), "it broke\ntoo hot\ncool it"),
    ],
)
def test_an_error_reads_as_what_why_and_remedy(error: CudawheelError, text: str) -> None:
    assert str(error) == text


def test_a_recipe_error_tells_every_fault_unless_told_why() -> None:
    faults = tuple(Fault(path=path, found="1", allowed="allowed is 2") for path in ("a.b", "c[0]"))
    error = RecipeError("r.toml has 2 faults", faults=faults)
    assert error.why == "a.b: found 1; allowed is 2\nc[0]: found 1; allowed is 2"
    assert RecipeError("not TOML", why="line 3").why == "line 3"


def test_out_of_memory_is_a_failed_build_and_a_full_disk_a_failed_store() -> None:
    assert issubclass(OutOfMemoryError, BuildError)
    assert issubclass(DiskFullError, StoreError)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_from_the_systems_error(number: int) -> None:
    error = DiskFullError.from_os_error(OSError(number, "no room", "/somewhere/file"))
    assert error is not None
    assert "/somewhere/file" in error.what
    assert error.why == "no room"
    assert "--cache" in error.remedy


def test_a_full_disk_without_a_file_name() -> None:
    error = DiskFullError.from_os_error(OSError(errno.ENOSPC, "no room"))
    assert error is not None
    assert error.what == "no space is left"


def test_other_system_errors_are_not_a_full_disk() -> None:
    assert DiskFullError.from_os_error(PermissionError(errno.EACCES, "no")) is None


def test_errors_cross_process_boundaries() -> None:
    error = pickle.loads(  # noqa: S301 - its own
        pickle.dumps(RecipeError("r.toml", faults=(Fault(path="a", found="1", allowed="2"),), remedy="mend"))
    )
    assert (error.what, error.why, error.remedy) == ("r.toml", "a: found 1; 2", "mend")
    assert error.faults[0].path == "a"
