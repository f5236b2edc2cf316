"""Requests: every spelling that people use, and what it stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cudawheel.data import capability_names
from cudawheel.errors import CapabilityError
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_request import CapabilityContext, CapabilityRequest, normalise_name
from cudawheel.model.capability_set import CapabilitySet


def ccs(text: str) -> tuple[ComputeCapability, ...]:
    return tuple(ComputeCapability.parse(word) for word in text.split())


CONTEXT = CapabilityContext(
    known=ccs("7.5 8.0 8.6 8.7 8.9 9.0 10.0 10.3 12.0 12.1"),
    removed=ccs("6.1 7.0 7.2"),
    native=ccs("8.6 12.0"),
    torch=CapabilitySet.of(ccs("7.5 8.0 9.0"), ccs("9.0")),
)
BARE = CapabilityContext(known=CONTEXT.known)


def expand(text: str, context: CapabilityContext = CONTEXT) -> CapabilitySet:
    return CapabilityRequest.parse(text, capability_names()).expand(context)


@pytest.mark.parametrize(
    ("text", "cubins", "ptx"),
    [
        ("8.6", "8.6", ""),
        ("86", "8.6", ""),
        ("sm_86", "8.6", ""),
        ("compute_86", "", "8.6"),
        ("86-real", "8.6", ""),
        ("86-virtual", "", "8.6"),
        ("9.0a", "9.0a", ""),
        ("12.0f", "12.0f", ""),
        ("8.6+PTX", "8.6", "8.6"),
        ("8.6 +ptx", "8.6", "8.6"),
        ("compute_86+PTX", "", "8.6"),
        ("Blackwell", "10.0 10.3 12.0 12.1", ""),
        ("blackwell+PTX", "10.0 10.3 12.0 12.1", "12.1"),
        ("RTX 5070 Ti", "12.0", ""),
        ("NVIDIA GeForce RTX 5070 Ti", "12.0", ""),
        ("rtx5070ti+PTX", "12.0", "12.0"),
        ("Ada Lovelace", "8.9", ""),
        ("H200", "9.0", ""),
        ("Hopper Turing", "7.5 9.0", ""),
        ("all", "7.5 8.0 8.6 8.7 8.9 9.0 10.0 10.3 12.0 12.1", ""),
        ("all+PTX", "7.5 8.0 8.6 8.7 8.9 9.0 10.0 10.3 12.0 12.1", "12.1"),
        ("all-major", "7.5 8.0 9.0 10.0 12.0", ""),
        ("ALL-MAJOR+PTX", "7.5 8.0 9.0 10.0 12.0", "12.0"),
        ("native", "8.6 12.0", ""),
        ("torch", "7.5 8.0 9.0", "9.0"),
        ("torch;12.0+PTX", "7.5 8.0 9.0 12.0", "9.0 12.0"),
        ("8.0-8.9", "8.0 8.6 8.7 8.9", ""),
        ("8.0..8.9", "8.0 8.6 8.7 8.9", ""),
        ("80 - sm_89", "8.0 8.6 8.7 8.9", ""),
        ("9.0-12.0+PTX", "9.0 10.0 10.3 12.0", "12.0"),
        (">=10.0", "10.0 10.3 12.0 12.1", ""),
        (">= 10.0+PTX", "10.0 10.3 12.0 12.1", "12.1"),
        ("8.0;8.6;9.0", "8.0 8.6 9.0", ""),
        ("8.0,8.6, 9.0", "8.0 8.6 9.0", ""),
        ("8.0 8.6 9.0+PTX", "8.0 8.6 9.0", "9.0"),
        (";8.0;;8.6;", "8.0 8.6", ""),
        ("9.0;8.0;9.0", "8.0 9.0", ""),
        ("8.6;RTX 5070 Ti;>=12.1", "8.6 12.0 12.1", ""),
    ],
)
def test_spellings_people_use(text: str, cubins: str, ptx: str) -> None:
    assert expand(text) == CapabilitySet.of(ccs(cubins), ccs(ptx))


@pytest.mark.parametrize(
    "text",
    [
        "8.6-",
        "86-fake",
        "RTX 9999",
        "Blackwel",
        "+PTX",
        "8.6+PTX+PTX",
        "8.0-",
        "-8.0",
        "8.6 + PTX",
        ">=",
        "all-minor",
        "8.x",
    ],
)
def test_a_misspelt_word_is_named_with_what_is_allowed(text: str) -> None:
    with pytest.raises(CapabilityError) as caught:
        expand(f"8.0;{text};9.0")
    assert text.split(maxsplit=1)[0] in caught.value.what
    assert "RTX 5070 Ti" in caught.value.remedy


@pytest.mark.parametrize("text", [">=RTX", "RTX-9999"])
def test_a_misspelt_end_of_a_range_is_named(text: str) -> None:
    with pytest.raises(CapabilityError, match="RTX"):
        expand(text)


@pytest.mark.parametrize("text", ["", " ", ";", " , ;"])
def test_an_empty_list_is_refused(text: str) -> None:
    with pytest.raises(CapabilityError, match="empty"):
        expand(text)


def test_a_range_runs_upwards() -> None:
    with pytest.raises(CapabilityError, match="backwards") as caught:
        expand("12.0-7.5")
    assert "7.5-12.0" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "cubins"),
    [
        # What earlier CUDA releases knew lies in the range, so the plan can say why it is not to be had.
        ("7.0-8.0", "7.0 7.2 7.5 8.0"),
        (">=7.2", "7.2 7.5 8.0 8.6 8.7 8.9 9.0 10.0 10.3 12.0 12.1"),
        # The ends are named, so they are answered for even where nobody knows them.
        ("12.0-13.0", "12.0 12.1 13.0"),
        ("8.0-8.8", "8.0 8.6 8.7 8.8"),
        ("9.0a-10.0", "9.0a 10.0"),
    ],
)
def test_a_range_drops_nothing_silently(text: str, cubins: str) -> None:
    assert expand(text) == CapabilitySet.of(ccs(cubins))


@pytest.mark.parametrize(("text", "why"), [("native", "No GPU"), ("torch", ""), (">=99.0", "")])
def test_a_word_that_stands_for_nothing_here_says_so(text: str, why: str) -> None:
    with pytest.raises(CapabilityError, match="stands for no compute capability") as caught:
        expand(text, BARE)
    assert why in caught.value.why


def test_only_native_asks_this_machine() -> None:
    asking = {
        text: CapabilityRequest.parse(text, {}).asks_this_machine for text in ("native", "8.6;NATIVE+PTX", "all", "8.6")
    }
    assert asking == {"native": True, "8.6;NATIVE+PTX": True, "all": False, "8.6": False}


@pytest.mark.parametrize("gpu", sorted(capability_names()))
def test_every_known_name_can_be_asked_for(gpu: str) -> None:
    assert set(expand(gpu).cubins) == set(capability_names()[gpu])


@pytest.mark.parametrize(
    "name", ["NVIDIA GeForce RTX 5070 Ti", "rtx 5070 ti", "RTX-5070-Ti", "RTX_5070Ti", " GEFORCE RTX5070TI "]
)
def test_names_are_found_however_they_are_spelt(name: str) -> None:
    assert normalise_name(name) == "rtx5070ti"


plain = st.sampled_from(CONTEXT.known)
words = st.tuples(plain, st.sampled_from(["{c}", "{c.number}", "sm_{c.number}", "{c.number}-real"]), st.booleans())


@given(st.lists(words, min_size=1), st.sampled_from([";", ",", " ", "; ", " , "]))
def test_any_mixture_of_spellings_adds_up(parts: list[tuple[ComputeCapability, str, bool]], separator: str) -> None:
    text = separator.join(f"{form.format(c=c)}{'+PTX' * ptx}" for c, form, ptx in parts)
    assert expand(text) == CapabilitySet.of((c for c, _, _ in parts), (c for c, _, ptx in parts if ptx))


@given(st.text(max_size=20) | st.text("0123456789.af-+PTX;> sm_", max_size=16))
def test_any_text_is_read_or_refused_as_a_capability(text: str) -> None:
    try:
        request = CapabilityRequest.parse(text, capability_names())
    except CapabilityError as error:
        assert error.remedy  # noqa: PT017 - either way is fine, but a refusal says what is allowed
    else:
        assert str(request) == text


@given(st.sets(plain, min_size=1).map(sorted))
def test_what_torch_is_told_reads_back_as_a_request(found: list[ComputeCapability]) -> None:
    carried = CapabilitySet.of(found, found[-1:])
    assert (
        expand(carried.torch_cuda_arch_list())
        == expand(carried.cmake_cuda_architectures().replace("-real", "")) | carried
    )
