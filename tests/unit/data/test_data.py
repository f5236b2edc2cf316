"""The tables of what is known: whole, consistent with each other, and each with its source."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from importlib.resources import files

import pytest

from cudawheel.data import (
    capability_names,
    capability_spans,
    known_for,
    read_json,
    recipe_environment_patterns,
    torch_releases,
)
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_request import KEYWORDS, normalise_name
from cudawheel.model.version import CudaVersion, TorchVersion

TABLES = sorted(
    file.name.removesuffix(".json") for file in files("cudawheel.data").iterdir() if file.name.endswith(".json")
)


def cc(text: str) -> ComputeCapability:
    return ComputeCapability.parse(text)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_names_its_source(name: str) -> None:
    table = read_json(name)
    assert '"source"' in files("cudawheel.data").joinpath(f"{name}.json").read_text(encoding="utf-8")
    assert isinstance(table, dict)


# nvcc 13.0.88 --list-gpu-code
NVCC_13_0 = "75 80 86 87 88 89 90 100 103 110 120 121"


def test_the_table_agrees_with_nvcc_13_0() -> None:
    cuda = CudaVersion(13, 0)
    known = {
        capability.number
        for capability, span in capability_spans().items()
        if not capability.suffix and span.first <= cuda and (span.last is None or cuda <= span.last)
    }
    assert known == set(NVCC_13_0.split())


def test_a_specific_capability_is_not_known_before_its_plain_one() -> None:
    spans = capability_spans()
    for capability, span in spans.items():
        plain = spans[capability.base]
        assert plain.first <= span.first
        assert plain.last == span.last


def test_a_renamed_capability_goes_on_under_its_new_name() -> None:
    renamed = {old: span for old, span in capability_spans().items() if span.successor}
    assert {old.base for old in renamed} == {cc("10.1")}
    for old, span in renamed.items():
        assert span.successor is not None
        assert span.last is not None
        assert span.last < capability_spans()[span.successor].first
        assert old.suffix == span.successor.suffix


@pytest.mark.parametrize(
    ("gpu", "capability"),
    [
        ("RTX 5070 Ti", "12.0"),
        ("RTX 4090", "8.9"),
        ("A100", "8.0"),
        ("H200", "9.0"),
        ("T4", "7.5"),
        ("B200", "10.0"),
        ("V100", "7.0"),
    ],
)
def test_well_known_gpus(gpu: str, capability: str) -> None:
    assert capability_names()[normalise_name(gpu)] == (cc(capability),)


def test_every_capability_of_a_known_gpu_is_known_for_something() -> None:
    with_gpus = {cc(name) for name in read_json("gpus")["gpus"]}
    assert set(known_for()) <= set(capability_spans())
    assert with_gpus <= set(known_for())
    assert all(known_for().values())


def test_every_gpu_has_a_capability_that_some_cuda_compiles_for() -> None:
    assert {c for found in capability_names().values() for c in found} <= set(capability_spans())


def test_no_name_stands_for_two_things_or_hides_a_keyword() -> None:
    spelt = [normalise_name(gpu) for gpus in read_json("gpus")["gpus"].values() for gpu in gpus]
    generations = [normalise_name(name) for name in read_json("gpus")["generations"]]
    assert len({*spelt, *generations}) == len(spelt) + len(generations)
    assert {*spelt, *generations} <= set(capability_names())
    assert not {normalise_name(word) for word in KEYWORDS} & set(capability_names())
    assert not any(re.fullmatch(r"(sm|compute)?\d{1,3}(\.\d+)?[af]?", name) for name in capability_names())


@pytest.mark.parametrize(
    ("said", "capability"),
    [
        ("5070 Ti", "12.0"),
        ("4090", "8.9"),
        ("a6000", "8.6"),
        ("1080 ti", "6.1"),
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("NVIDIA GeForce RTX 3060 Laptop GPU", "8.6"),
        ("RTX PRO 6000", "12.0"),
        ("Jetson Orin", "8.7"),
        ("Tesla V100-SXM2-16GB", "7.0"),
    ],
)
def test_gpus_are_known_as_people_and_drivers_write_them(said: str, capability: str) -> None:
    assert capability_names()[normalise_name(said)] == (ComputeCapability.parse(capability),)


def test_a_torch_carries_only_what_its_cuda_compiles() -> None:
    for release in torch_releases().values():
        spans = [capability_spans()[capability] for capability in release.capabilities]
        assert all(span.first <= release.cuda and (span.last is None or release.cuda <= span.last) for span in spans)
        assert release.python_first < release.python_last


def test_torch_releases_as_the_package_index_has_them() -> None:
    cuda = {str(torch): str(release.cuda) for torch, release in torch_releases().items()}
    assert cuda["2.8"] == cuda["2.9"] == "12.8"
    assert {cuda[torch] for torch in ("2.11", "2.12", "2.13", "2.14")} == {"13.0"}
    assert cuda["2.15"] == "13.2"
    assert list(torch_releases()) == sorted(torch_releases())
    assert min(torch_releases()) == TorchVersion(2, 8)


# As read by setup.py of torchcodec, of faiss-cpu, of many, of a binding of ggml, and of natten.
@pytest.mark.parametrize("name", ["ENABLE_CUDA", "FAISS_ENABLE_GPU", "FORCE_CUDA", "GGML_CUDA", "NATTEN_CUDA_ARCH"])
def test_a_recipe_may_set_the_switches_that_packages_read(name: str) -> None:
    assert [pattern for pattern in recipe_environment_patterns() if fnmatchcase(name, pattern)]


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "CC", "CXX", "HOME", "PIP_INDEX_URL", "MAX_JOBS"),
        *("CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "CUDACXX", "CUDAARCHS", "TORCH_CUDA_ARCH_LIST"),
        *("CUDAWHEEL_CUDA_HOME", "NVCC_PREPEND_FLAGS", "NVCC_CCBIN", "CMAKE_CUDA_COMPILER"),
    ],
)
def test_no_pattern_lets_a_recipe_reach_the_toolchain(name: str) -> None:
    assert not [pattern for pattern in recipe_environment_patterns() if fnmatchcase(name, pattern)]
