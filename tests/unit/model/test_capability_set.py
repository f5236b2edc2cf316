"""Sets of capabilities, and the strings that torch, CMake and nvcc read; each is read back independently here."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cudawheel.errors import CapabilityError
from cudawheel.model.capability import ComputeCapability, Support
from cudawheel.model.capability_set import CapabilitySet, Gencode

Code = tuple[str, str]
"""A capability as nvcc writes it (`90a`), and whether it is `sm` or `compute`."""

capabilities = st.builds(
    ComputeCapability, st.integers(5, 13), st.integers(0, 9), st.sampled_from(["", "", "", "a", "f"])
)
sets = st.builds(CapabilitySet.of, st.frozensets(capabilities, max_size=6), st.frozensets(capabilities, max_size=4))


def cset(cubins: str, ptx: str = "") -> CapabilitySet:
    return CapabilitySet.of(map(ComputeCapability.parse, cubins.split()), map(ComputeCapability.parse, ptx.split()))


def codes(carried: CapabilitySet) -> set[Code]:
    return {(c.number, "sm") for c in carried.cubins} | {(c.number, "compute") for c in carried.ptx}


def read_as_torch(text: str) -> set[Code]:
    """What torch.utils.cpp_extension makes of TORCH_CUDA_ARCH_LIST: `X.Y[a]`, and PTX behind `+PTX`."""
    found = set()
    for word in text.split(";") if text else ():
        match = re.fullmatch(r"(\d+)\.(\d)(a?)(\+PTX)?", word)
        assert match is not None, word
        number = "".join(match.group(1, 2, 3))
        found |= {(number, "sm"), (number, "compute")} if match[4] else {(number, "sm")}
    return found


def read_as_cmake(text: str) -> set[Code]:
    """What CMake makes of CMAKE_CUDA_ARCHITECTURES: bare is both, `-real` machine code, `-virtual` PTX."""
    found = set()
    for word in text.split(";") if text else ():
        number, _, kind = word.partition("-")
        assert kind in {"", "real", "virtual"}
        found |= {(number, code) for code in ("sm", "compute") if kind != {"sm": "virtual", "compute": "real"}[code]}
    return found


def read_as_nvcc(words: list[str]) -> set[Code]:
    """What nvcc makes of `-gencode=arch=compute_X,code=sm_X`: the front end's X must be that of the code."""
    found = set()
    for word in words:
        match = re.fullmatch(r"-gencode=arch=compute_(\d+[af]?),code=(sm|compute)_(\d+[af]?)", word)
        assert match is not None, word
        assert match[1] == match[3]
        found.add((match[3], match[2]))
    return found


@given(sets)
def test_cmake_reads_back_what_was_written(carried: CapabilitySet) -> None:
    assert read_as_cmake(carried.cmake_cuda_architectures()) == codes(carried)


@given(sets)
def test_nvcc_reads_back_what_was_written(carried: CapabilitySet) -> None:
    assert read_as_nvcc([str(gencode) for gencode in carried.gencodes()]) == codes(carried)


@given(sets)
def test_torch_reads_back_what_was_written_or_is_not_asked(carried: CapabilitySet) -> None:
    sayable = set(carried.ptx) <= set(carried.cubins) and not any(c.suffix == "f" for c in carried.cubins)
    if sayable:
        assert read_as_torch(carried.torch_cuda_arch_list()) == codes(carried)
    else:
        with pytest.raises(CapabilityError, match="TORCH_CUDA_ARCH_LIST cannot say"):
            carried.torch_cuda_arch_list()


def test_the_lists_as_the_tools_documentation_writes_them() -> None:
    carried = cset("8.0 9.0a 12.0", "12.0")
    assert carried.torch_cuda_arch_list() == "8.0;9.0a;12.0+PTX"
    assert carried.cmake_cuda_architectures() == "80-real;90a-real;120"
    assert [str(gencode) for gencode in carried.gencodes()] == [
        "-gencode=arch=compute_80,code=sm_80",
        "-gencode=arch=compute_90a,code=sm_90a",
        "-gencode=arch=compute_120,code=sm_120",
        "-gencode=arch=compute_120,code=compute_120",
    ]
    assert cset("", "9.0").cmake_cuda_architectures() == "90-virtual"


@pytest.mark.parametrize(
    ("carried", "remedy"), [(cset("8.0", "9.0"), r"9\.0\+PTX"), (cset("12.0f"), r"12\.0, or for 12\.0a")]
)
def test_what_torch_cannot_say_comes_with_what_it_can(carried: CapabilitySet, remedy: str) -> None:
    with pytest.raises(CapabilityError) as caught:
        carried.torch_cuda_arch_list()
    assert re.search(remedy, caught.value.remedy)


@pytest.mark.parametrize(
    ("item", "separator", "text"),
    [
        ("{number}", ";", "80;90a;120"),
        ("{capability}", ",", "8.0,9.0a,12.0"),
        ("sm_{major}{minor}", " ", "sm_80 sm_90 sm_120"),
    ],
)
def test_a_packages_own_list_follows_its_template(item: str, separator: str, text: str) -> None:
    assert cset("8.0 9.0a 12.0", "").from_template(item, separator) == text


def test_a_template_refuses_ptx() -> None:
    with pytest.raises(CapabilityError, match=r"cannot say PTX of 12\.0"):
        cset("8.0 12.0", "12.0").from_template("{number}")


@given(sets)
def test_nvcc_goes_over_a_source_once_for_each_virtual_architecture(carried: CapabilitySet) -> None:
    assert carried.device_passes == len({number for number, _ in codes(carried)})
    named = {str(gencode).split("arch=")[1].split(",")[0] for gencode in carried.gencodes()}
    assert carried.device_passes == len(named)


@pytest.mark.parametrize(
    ("carried", "passes"),
    [
        (cset("8.0 9.0"), 2),
        (cset("8.0 9.0", "9.0"), 2),
        (cset("8.0", "9.0"), 2),
        (cset("9.0 9.0a"), 2),
        (cset("", "9.0"), 1),
        (cset(""), 0),
    ],
)
def test_ptx_beside_machine_code_costs_no_pass_of_its_own(carried: CapabilitySet, passes: int) -> None:
    assert carried.device_passes == passes


@given(sets, sets)
def test_sets_add_up_and_subtract_like_sets(one: CapabilitySet, other: CapabilitySet) -> None:
    assert codes(one | other) == codes(one) | codes(other)
    assert codes(one - other) == codes(one) - codes(other)
    assert bool(one) is bool(codes(one))


@given(st.lists(capabilities), st.lists(capabilities))
def test_order_and_repeats_make_no_difference(cubins: list[ComputeCapability], ptx: list[ComputeCapability]) -> None:
    assert CapabilitySet.of(cubins, ptx) == CapabilitySet.of(reversed(cubins * 2), reversed(ptx))


@pytest.mark.parametrize(
    ("carried", "text"),
    [
        (cset("8.0 12.0", "12.0"), "8.0 12.0 + PTX 12.0"),
        (cset("8.0"), "8.0"),
        (cset("", "9.0"), "PTX 9.0"),
        (cset(""), "none"),
    ],
)
def test_sets_read_well(carried: CapabilitySet, text: str) -> None:
    assert str(carried) == text


@pytest.mark.parametrize(
    ("carried", "gpu", "support"),
    [
        (cset("8.0 9.0", "9.0"), "8.6", Support.NATIVE),
        (cset("8.0 9.0", "9.0"), "12.0", Support.PTX),
        (cset("8.0 9.0", "9.0"), "7.5", Support.NONE),
        (cset("12.0"), "9.0", Support.NONE),
        (cset("8.9", "8.9"), "8.9", Support.NATIVE),
        (cset(""), "8.6", Support.NONE),
    ],
)
def test_a_gpu_prefers_machine_code_and_falls_back_to_ptx(carried: CapabilitySet, gpu: str, support: Support) -> None:
    assert carried.support(ComputeCapability.parse(gpu)) is support


@given(sets, sets, st.builds(ComputeCapability, st.integers(5, 13), st.integers(0, 9)))
def test_carrying_more_never_runs_on_less(one: CapabilitySet, more: CapabilitySet, gpu: ComputeCapability) -> None:
    rank = [Support.NONE, Support.PTX, Support.NATIVE]
    assert rank.index((one | more).support(gpu)) == max(rank.index(one.support(gpu)), rank.index(more.support(gpu)))


@given(st.frozensets(capabilities, min_size=1))
def test_gencodes_come_lowest_first_and_machine_code_before_ptx(found: frozenset[ComputeCapability]) -> None:
    assume(len(found) > 1)
    gencodes = CapabilitySet.of(found, found).gencodes()
    assert list(gencodes) == [Gencode(c, ptx=ptx) for c in sorted(found) for ptx in (False, True)]
