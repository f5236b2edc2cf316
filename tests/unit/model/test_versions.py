"""Versions, ABI promises, variants and the local versions of wheels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from cudawheel.errors import UsageError
from cudawheel.model.abi import TorchAbi
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.progress import Silent
from cudawheel.model.variant import Variant
from cudawheel.model.version import CudaVersion, MinorVersion, PythonVersion, TorchVersion
from cudawheel.model.wheel_name import local_version

KINDS = (CudaVersion, TorchVersion, PythonVersion)
numbers = st.integers(0, 9999)
pairs = st.tuples(numbers, numbers)


@given(
    st.sampled_from(KINDS),
    pairs,
    st.sampled_from(["", ".2", ".88+x", "+cu130", ".0a0+git1", "a1", "rc2", ".dev3", ".post1"]),
)
def test_versions_read_back_down_to_their_minor_number(
    kind: type[MinorVersion], pair: tuple[int, int], rest: str
) -> None:
    version = kind.parse(f" {pair[0]}.{pair[1]}{rest}\n")
    assert (version.major, version.minor) == pair
    assert kind.parse(str(version)) == version
    assert str(version) == f"{pair[0]}.{pair[1]}"


@pytest.mark.parametrize(
    "text", ["", "3", "3.", ".12", "v3.12", "3.13t", "3.12x", "3.12.x", "3.12-dev", "3,12", "٣.١٢", f"3.{'1' * 5000}"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_version_is_refused_by_name(kind: type[MinorVersion], text: str) -> None:
    with pytest.raises(UsageError, match=kind.what):
        kind.parse(text)


@given(st.text("0123456789.+abrct ", max_size=10))
def test_whatever_is_read_starts_with_the_numbers_found(text: str) -> None:
    try:
        version = CudaVersion.parse(text)
    except UsageError:
        return
    major, _, rest = text.strip().partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    assert (version.major, version.minor) == (int(major), int(digits))


@given(pairs, pairs)
def test_versions_compare_as_numbers(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (TorchVersion(*one) < TorchVersion(*other)) is (one < other)


def test_versions_of_different_things_are_never_equal() -> None:
    assert len({kind(3, 12) for kind in KINDS}) == 3


def test_names_that_are_made_of_versions() -> None:
    assert CudaVersion(13, 0).channel == "cu130"
    assert PythonVersion(3, 12).tag == "cp312"


@pytest.mark.parametrize(
    ("text", "requirement", "local"),
    [
        ("torch-minor", "torch==2.11.*", "cu.13.0.torch.2.11"),
        ("torch-stable >= 2.10", "torch>=2.10", "cu.13.0.torch.2.10"),
        ("torch-stable>=2.9", "torch>=2.9", "cu.13.0.torch.2.9"),
    ],
)
def test_a_promise_becomes_a_requirement_and_a_local_version(text: str, requirement: str, local: str) -> None:
    abi = TorchAbi.parse(text)
    assert TorchAbi.parse(str(abi)) == abi
    assert abi.requirement(TorchVersion(2, 11)) == requirement
    assert local_version(cuda=CudaVersion(13, 0), torch=TorchVersion(2, 11), abi=abi) == local


@pytest.mark.parametrize(
    "text", ["", "torch", "torch-stable", "torch-stable >= 2", "torch-stable > 2.10", "torch-minor 2.11"]
)
def test_what_is_no_promise_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not an ABI promise") as caught:
        TorchAbi.parse(text)
    assert "torch-minor" in caught.value.remedy


def version_of(cuda: tuple[int, int], torch: tuple[int, int], fallback: str = "") -> Version:
    local = local_version(cuda=CudaVersion(*cuda), torch=TorchVersion(*torch), abi=TorchAbi(), fallback=fallback)
    assert str(Version(f"1.0+{local}")) == f"1.0+{local}", "written as PEP 440 writes it itself"
    return Version(f"1.0+{local}")


@given(pairs, pairs, pairs)
def test_a_newer_torch_makes_a_newer_wheel(cuda: tuple[int, int], one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (version_of(cuda, one) < version_of(cuda, other)) is (one < other)


@given(
    pairs, pairs, pairs, pairs, st.from_regex(r"[a-z][a-z0-9]{0,19}", fullmatch=True).filter(lambda label: label < "cu")
)
def test_a_fallback_sorts_below_every_genuine_wheel(
    cuda: tuple[int, int], torch: tuple[int, int], other_cuda: tuple[int, int], other_torch: tuple[int, int], label: str
) -> None:
    assert version_of(cuda, torch, label) < version_of(other_cuda, other_torch)


def test_a_variant_is_named_after_all_that_tells_it_from_its_siblings() -> None:
    variant = Variant(
        python=PythonVersion(3, 12),
        torch=TorchVersion(2, 11),
        cuda=CudaVersion(13, 0),
        capabilities=CapabilitySet(),
        abi=TorchAbi(),
        machine="x86_64",
    )
    assert variant.identifier == "cp312-torch2.11-cu130-x86_64"


def test_a_silent_listener_hears_everything_and_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    listener = Silent()
    listener.phase("compiling", "pkg")
    listener.steps(1, 2)
    listener.compilers(1, 2, 3, 4)
    listener.note("FALLBACK")
    assert capsys.readouterr() == ("", "")
