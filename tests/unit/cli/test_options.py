"""Options that several commands share, read by themselves."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cudawheel.cli.options import parse_size, read_budget
from cudawheel.errors import UsageError
from cudawheel.schedule.budget import BudgetRequest

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
MEBIBYTE = 1 << 20

spaces = st.sampled_from(["", " ", "  "])
letters = st.sampled_from([letter for unit in UNITS for letter in {unit, unit.lower()}])
bytes_ = st.sampled_from(["", "B", "b", "iB", "ib", "IB"])


@given(st.integers(1, 1 << 40), letters, spaces, bytes_, st.tuples(spaces, spaces))
def test_an_amount_of_memory_is_read_in_every_spelling(
    number: int, unit: str, between: str, ending: str, around: tuple[str, str]
) -> None:
    text = f"{around[0]}{number}{between}{unit}{ending}{around[1]}"
    assume(number * UNITS[unit.upper()] >= MEBIBYTE)
    assert parse_size(text) == int(float(number) * UNITS[unit.upper()])


@given(st.integers(0, 4096), st.sampled_from([".5", ".25", ".125", ".50", ".0"]), st.sampled_from("KMGT"), bytes_)
@example(0, ".0", "G", "")
def test_fractions_are_of_the_unit(number: int, fraction: str, unit: str, ending: str) -> None:
    expected = (number + float(fraction)) * UNITS[unit]
    if expected < MEBIBYTE:
        with pytest.raises(UsageError):
            parse_size(f"{number}{fraction}{unit}{ending}")
    else:
        assert parse_size(f"{number}{fraction}{unit}{ending}") == expected


def test_a_bare_number_is_bytes() -> None:
    assert parse_size("8589934592") == parse_size("8G") == parse_size("8192 MiB")


@given(st.text("0123456789.-+eKMGTPiB \n", max_size=12) | st.text(max_size=8))
@example("9" * 400)
@example("9" * 400 + "T")
@example("nan")
@example("inf")
@example("1e9")
@example("12 parsecs")
def test_whatever_is_written_is_an_amount_or_is_refused(text: str) -> None:
    try:
        size: object = parse_size(text)
    except UsageError as error:
        size = error
    if isinstance(size, UsageError):
        assert repr(text) in size.what
        assert "12G" in size.remedy
    else:
        assert isinstance(size, int)
        assert size >= MEBIBYTE
        assert any(character.isdigit() for character in text)


@pytest.mark.parametrize(
    "text", ["", " ", "12", "12K", "0", "0G", "0.0", "0.4", "-1", "-12G", "nonsense", "G", "12X", "1.2.3G", ".G"]
)
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no amount of memory"):
        parse_size(text)


def test_what_nobody_limits_is_not_limited() -> None:
    assert read_budget(memory_text=None, jobs=None, force=False) == BudgetRequest()
    assert read_budget(memory_text="12G", jobs=3, force=True) == BudgetRequest(memory=12 << 30, jobs=3, force=True)


def test_an_empty_amount_is_not_the_same_as_none() -> None:
    with pytest.raises(UsageError):
        read_budget(memory_text="", jobs=None, force=False)
