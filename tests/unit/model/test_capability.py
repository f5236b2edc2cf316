"""Single capabilities: their spellings, and NVIDIA's rules of what runs where."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cudawheel.errors import CapabilityError
from cudawheel.model.capability import ComputeCapability

capabilities = st.builds(ComputeCapability, st.integers(1, 99), st.integers(0, 9), st.sampled_from(["", "a", "f"]))
plain_capabilities = st.builds(ComputeCapability, st.integers(1, 99), st.integers(0, 9))


def cc(text: str) -> ComputeCapability:
    return ComputeCapability.parse(text)


@pytest.mark.parametrize(
    ("text", "major", "minor", "suffix"),
    [
        ("8.6", 8, 6, ""),
        ("86", 8, 6, ""),
        ("sm_86", 8, 6, ""),
        ("SM86", 8, 6, ""),
        ("compute_86", 8, 6, ""),
        ("9.0a", 9, 0, "a"),
        ("sm_90a", 9, 0, "a"),
        ("12.0f", 12, 0, "f"),
        ("120F", 12, 0, "f"),
        (" 12.1 ", 12, 1, ""),
        ("103", 10, 3, ""),
    ],
)
def test_spellings_people_use(text: str, major: int, minor: int, suffix: str) -> None:
    assert cc(text) == ComputeCapability(major, minor, suffix)


@pytest.mark.parametrize(
    "text",
    ["", "8", "8.", ".6", "8.65", "8,6", "1200", "sm-86", "8.6b", "8.6aa", "gfx90a", "٨.٦", "8.6+PTX", "0.1", "-8.6"],
)
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(CapabilityError) as caught:
        cc(text)
    assert repr(text) in caught.value.what
    assert "sm_86" in caught.value.remedy


@given(capabilities, st.sampled_from(["{c}", "{c.number}", "sm_{c.number}", "sm{c.number}", "compute_{c}", " {c}\n"]))
def test_every_spelling_reads_back(capability: ComputeCapability, spelling: str) -> None:
    text = spelling.format(c=capability)
    assert {cc(text), cc(text.upper()), cc(text.lower())} == {capability}


@given(st.text(string.ascii_letters + string.digits + "._-+ ", max_size=12) | st.text(max_size=8))
def test_whatever_is_read_is_written_as_itself(text: str) -> None:
    try:
        read = cc(text)
    except CapabilityError:
        return
    assert cc(str(read)) == cc(read.number) == read
    assert str(read).replace(".", "") in text.casefold().replace(".", "")


@given(st.lists(plain_capabilities))
def test_capabilities_sort_as_numbers(found: list[ComputeCapability]) -> None:
    assert sorted(found) == sorted(found, key=lambda c: c.major * 10 + c.minor)


def test_twelve_sorts_above_nine_and_suffixes_behind_the_plain_one() -> None:
    assert sorted(map(cc, ["12.0", "9.0a", "12.0f", "9.0", "10.3"])) == [
        cc(t) for t in ["9.0", "9.0a", "10.3", "12.0", "12.0f"]
    ]


@pytest.mark.parametrize(
    ("code", "gpu", "runs"),
    [
        ("8.0", "8.0", True),
        ("8.0", "8.6", True),
        ("8.0", "8.9", True),
        ("8.6", "8.0", False),
        ("8.9", "9.0", False),
        ("9.0", "8.9", False),
        ("9.0", "12.0", False),
        ("10.0", "12.0", False),
        ("12.0", "12.1", True),
        ("9.0a", "9.0", True),
        ("12.0a", "12.1", False),
        ("10.0f", "10.3", True),
        ("10.3f", "10.0", False),
        ("12.0f", "12.1", True),
        ("10.0f", "12.0", False),
    ],
)
def test_machine_code_runs_on_its_generation_from_its_chip_on(code: str, gpu: str, *, runs: bool) -> None:
    assert cc(code).cubin_runs_on(cc(gpu)) is runs


@given(plain_capabilities, plain_capabilities)
def test_ptx_runs_on_every_later_generation(ptx: ComputeCapability, gpu: ComputeCapability) -> None:
    assert ptx.ptx_runs_on(gpu) is ((gpu.major, gpu.minor) >= (ptx.major, ptx.minor))


@pytest.mark.parametrize(
    ("ptx", "gpu", "runs"),
    [("9.0a", "9.0", True), ("9.0a", "10.0", False), ("10.0f", "10.3", True), ("10.0f", "12.0", False)],
)
def test_ptx_of_one_chip_or_family_stays_there(ptx: str, gpu: str, *, runs: bool) -> None:
    assert cc(ptx).ptx_runs_on(cc(gpu)) is runs


@given(capabilities, plain_capabilities)
def test_where_machine_code_runs_its_ptx_runs_too(code: ComputeCapability, gpu: ComputeCapability) -> None:
    assert not code.cubin_runs_on(gpu) or code.ptx_runs_on(gpu)


@given(capabilities)
def test_every_capability_runs_on_its_own_chip(capability: ComputeCapability) -> None:
    assert capability.cubin_runs_on(capability.base)
    assert capability.ptx_runs_on(capability.base)
    assert capability.base.suffix == ""
