"""What is installed for a build, and the variables that it hears."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cudawheel.builder.requirements import build_requires, uses_own_backend, wheel_requirements
from cudawheel.builder.variables import flag_variables, job_variables, torch_variables
from cudawheel.data import capability_names
from cudawheel.errors import ToolchainError
from cudawheel.model.abi import TorchAbi
from cudawheel.model.capability_request import CapabilityContext, CapabilityRequest
from cudawheel.model.capability_set import CapabilitySet
from cudawheel.model.variant import Variant
from cudawheel.model.version import CudaVersion, PythonVersion, TorchVersion
from cudawheel.plan.variables import capability_variables
from cudawheel.recipe.recipe import Recipe
from cudawheel.recipe.settings import BuildSettings, CapabilityVariable


def variant(cuda: str = "13.0") -> Variant:
    return Variant(
        python=PythonVersion(3, 12),
        torch=TorchVersion(2, 11),
        cuda=CudaVersion.parse(cuda),
        capabilities=capabilities(),
        abi=TorchAbi(),
        machine="x86_64",
    )


def recipe(*libraries: str) -> Recipe:
    document = {
        "package": {"name": "demo", "version": "1.0"},
        "sources": [{"kind": "path", "label": "bundled", "path": "demo"}],
        "matrix": {"python": ["3.12"], "torch": ["2.11"]},
        "wheel": {"imports": ["demo"], "cuda-libraries": libraries},
    }
    return Recipe.model_validate(document)


def capabilities(text: str = "8.0;9.0a;12.0+PTX") -> CapabilitySet:
    return CapabilityRequest.parse(text, capability_names()).expand(CapabilityContext(known=()))


def test_declared_requirements_come_with_torch_and_the_toolkit(tmp_path: Path) -> None:
    settings = BuildSettings(requires=("ninja",))
    wanted = build_requires(("setuptools>=77",), settings, variant(), "package", tmp_path)
    assert wanted[:3] == ("setuptools>=77", "ninja", "torch==2.11.*")
    toolkit = [Requirement(text) for text in wanted[3:]]
    assert "cuda-toolkit" in {requirement.name for requirement in toolkit}
    assert all(
        requirement.specifier.contains("13.0.2") for requirement in toolkit if requirement.name == "cuda-toolkit"
    )


def test_without_torch_its_libraries_of_cuda_are_asked_for_instead(tmp_path: Path) -> None:
    alone = replace(variant(), torch=None, abi=None)
    wanted = build_requires((), BuildSettings(), alone, "package", tmp_path, cuda_libraries=("cusparse", "cublas"))
    named = [Requirement(text) for text in wanted]
    assert {requirement.name for requirement in named} == {"cuda-toolkit"}
    assert {"cublas", "cusparse", "nvcc"} <= set.union(*(requirement.extras for requirement in named))
    assert not any(requirement.specifier.contains("13.1.0") for requirement in named)
    # An installed toolkit has them anyway.
    assert build_requires((), BuildSettings(), alone, "system", tmp_path, cuda_libraries=("cublas",)) == ()


def test_a_wheel_requires_what_it_was_built_against_and_any_later_cuda_of_that_major() -> None:
    assert wheel_requirements(recipe(), variant()) == ("torch==2.11.*",)
    (text,) = wheel_requirements(recipe("cublas"), replace(variant(), torch=None, abi=None))
    wanted = Requirement(text)
    assert (wanted.name, wanted.extras) == ("cuda-toolkit", {"cublas"})
    assert [wanted.specifier.contains(version) for version in ("12.9.1", "13.0.0", "13.2.2", "14.0.0")] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("kind", ["system", "redist"])
def test_a_toolkit_from_elsewhere_asks_for_no_package(kind, tmp_path: Path) -> None:
    assert build_requires((), BuildSettings(), variant("12.9"), kind, tmp_path) == ("torch==2.11.*",)


def test_a_cuda_that_the_index_has_no_compiler_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError):
        build_requires((), BuildSettings(), variant("12.9"), "package", tmp_path)


def test_a_package_that_is_built_by_cudawheel_gets_the_running_one(tmp_path: Path) -> None:
    wanted = build_requires(("CudaWheel>=0.1",), BuildSettings(), variant(), "system", tmp_path)
    own = Requirement(wanted[-1])
    assert own.name == "cudawheel"
    assert own.url is not None
    assert Path(own.url.removeprefix("file://")).is_file()


@pytest.mark.parametrize(
    ("declared", "own"), [(("cudawheel",), True), (("cudawheel[x]>1",), True), (("cudawheel-x",), False), ((), False)]
)
def test_its_own_backend_is_known_by_name(declared: tuple[str, ...], own: bool) -> None:
    assert uses_own_backend(declared) is own


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("torch", {"TORCH_CUDA_ARCH_LIST": "8.0;9.0a;12.0+PTX"}),
        ("cmake", {"CUDAARCHS": "80-real;90a-real;120"}),
    ],
)
def test_capabilities_are_written_as_the_package_takes_them(style, expected: dict[str, str]) -> None:
    settings = BuildSettings.model_validate({"capability-list": style})
    assert capability_variables(settings, capabilities()) == expected


def test_capabilities_are_written_by_a_template_of_the_packages_own() -> None:
    style = CapabilityVariable(variable="FLASH_ATTN_CUDA_ARCHS", item="{number}", separator=",")
    settings = BuildSettings.model_validate({"capability-list": style})
    written = capability_variables(settings, capabilities("8.0;12.0"))
    assert written == {"FLASH_ATTN_CUDA_ARCHS": "80,120"}


def test_jobs_are_said_to_everyone() -> None:
    assert job_variables(3) == {"MAX_JOBS": "3", "CMAKE_BUILD_PARALLEL_LEVEL": "3"}


def test_cmake_is_told_where_torch_lies() -> None:
    assert torch_variables(Path("/x")) == {"CMAKE_PREFIX_PATH": "/x/torch/share/cmake"}


def test_debug_information_is_left_out_unless_the_recipe_wants_it() -> None:
    assert flag_variables({}) == {"CFLAGS": "-g0", "CXXFLAGS": "-g0"}
    assert flag_variables({"CXXFLAGS": "-O2 -g1"})["CXXFLAGS"] == "-g0 -O2 -g1"
