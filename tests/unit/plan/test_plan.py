"""Plans: which cells of a matrix can be built, with what, and why not the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cudawheel.data import capability_names, capability_spans
from cudawheel.errors import CapabilityError, PlanError
from cudawheel.model.capability import ComputeCapability
from cudawheel.model.capability_request import CapabilityRequest
from cudawheel.model.version import CudaVersion, PythonVersion, TorchVersion
from cudawheel.plan.capabilities import compilable, rejection, removed
from cudawheel.plan.plan import Cell, Machine, Plan, Selection, make_plan
from cudawheel.recipe.loading import load_recipe, parse_recipe
from cudawheel.recipe.recipe import Recipe

RECIPES = Path(__file__).parents[3] / "recipes"
HERE = Machine(machine="x86_64", python=PythonVersion(3, 12))


def ccs(text: str) -> tuple[ComputeCapability, ...]:
    return tuple(ComputeCapability.parse(word) for word in text.split())


def asks(text: str) -> CapabilityRequest:
    return CapabilityRequest.parse(text, capability_names())


def recipe_of(
    *,
    capabilities: str = "7.5;8.0;12.0+PTX",
    unavailable: str = "drop",
    python: tuple[str, ...] = ("3.12",),
    torch: tuple[str, ...] = ("2.11",),
    **more: Any,
) -> Recipe:
    document = {
        "package": {"name": "demo", "version": "1.0"},
        "sources": [{"kind": "path", "label": "bundled", "path": "demo"}],
        "capabilities": {"request": capabilities, "unavailable": unavailable},
        "matrix": {"python": list(python), "torch": list(torch), "cuda": more.get("cuda", [])},
        "build": more.get("build", {}),
        "wheel": {"imports": ["demo"]},
    }
    return parse_recipe(document, Path("demo.toml"))


def plan_of(recipe: Recipe, machine: Machine = HERE, **selection: Any) -> Plan:
    return make_plan(recipe, recipe.build, Selection(**selection), machine)


def only_cell(recipe: Recipe, machine: Machine = HERE, **selection: Any) -> Cell:
    (cell,) = plan_of(recipe, machine, **selection).cells
    return cell


def carried(cell: Cell) -> str:
    assert cell.variant is not None
    return str(cell.variant.capabilities)


def test_volta_is_left_out_of_the_original_problem_with_the_reason() -> None:
    recipe = load_recipe(RECIPES / "torchmcubes.toml").recipe
    plan = plan_of(recipe)
    assert len(plan.cells) == len(recipe.matrix.python) * len(recipe.matrix.torch)
    for cell in plan.cells:
        assert carried(cell) == "7.5 8.0 8.6 8.9 9.0 10.0 12.0 + PTX 12.0"
        refused = {str(verdict.capability): verdict.reason for verdict in cell.verdicts if not verdict.accepted}
        assert refused == {"7.0": "removed in CUDA 13.0, last in 12.9"}


@pytest.mark.parametrize(
    ("capability", "cuda", "reason"),
    [
        ("7.0", "13.0", "removed in CUDA 13.0, last in 12.9"),
        ("7.0", "12.9", ""),
        ("8.8", "12.9", "needs CUDA 13.0, this is 12.9"),
        ("8.8", "13.0", ""),
        ("12.0", "12.6", "needs CUDA 12.8, this is 12.6"),
        ("12.0f", "12.8", "needs CUDA 12.9, this is 12.8"),
        ("10.1", "12.8", ""),
        ("10.1", "13.0", "removed in CUDA 13.0, last in 12.9; it is called 11.0 since"),
        ("11.0", "12.9", "needs CUDA 13.0, this is 12.9"),
        ("8.4", "13.0", "no CUDA release is known to compile for it"),
        ("8.6a", "13.0", "no CUDA release is known to compile for it"),
    ],
)
def test_a_capability_is_rejected_with_the_cuda_that_would_do(capability: str, cuda: str, reason: str) -> None:
    assert rejection(ComputeCapability.parse(capability), CudaVersion.parse(cuda), capability_spans()) == reason


def test_what_a_cuda_compiles_for_and_what_only_earlier_ones_did() -> None:
    assert compilable(CudaVersion(13, 0)) == ccs("7.5 8.0 8.6 8.7 8.8 8.9 9.0 10.0 10.3 11.0 12.0 12.1")
    assert removed(CudaVersion(13, 0)) == ccs("5.0 5.2 5.3 6.0 6.1 6.2 7.0 7.2")
    assert removed(CudaVersion(12, 9)) == ()


@given(st.builds(CudaVersion, st.integers(11, 14), st.integers(0, 9)))
def test_no_capability_is_both_compiled_for_and_removed(cuda: CudaVersion) -> None:
    assert not set(compilable(cuda)) & set(removed(cuda))
    assert all(not rejection(capability, cuda, capability_spans()) for capability in compilable(cuda))
    assert all("removed" in rejection(capability, cuda, capability_spans()) for capability in removed(cuda))


def test_a_recipe_goes_on_without_what_is_not_to_be_had_if_it_says_so() -> None:
    cell = only_cell(recipe_of(capabilities="7.0;9.0", unavailable="drop"))
    assert carried(cell) == "9.0"
    assert [(str(v.capability), v.accepted) for v in cell.verdicts] == [("7.0", False), ("9.0", True)]


def test_a_recipe_stops_where_it_says_so() -> None:
    cell = only_cell(recipe_of(capabilities="7.0;9.0", unavailable="fail"))
    assert (cell.accepted, cell.reason) == (False, "7.0: removed in CUDA 13.0, last in 12.9")


def test_a_recipe_that_is_left_with_nothing_is_rejected() -> None:
    assert only_cell(recipe_of(capabilities="6.1;7.0")).reason.count("removed in CUDA 13.0") == 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("7.0;9.0", "7.0"),
        ("8.4;9.0", "8.4"),
        ("7.0-9.0", "7.2"),
        ("5.0-8.0", "6.1"),
        ("Volta;Hopper", "7.0"),
        ("12.0-13.0", "13.0"),
    ],
)
def test_what_the_command_line_asks_for_is_never_dropped_silently(text: str, named: str) -> None:
    plan = plan_of(recipe_of(unavailable="drop"), capabilities=asks(text))
    with pytest.raises(CapabilityError) as caught:
        plan.choose(HERE)
    assert caught.value.exit_code == 4
    assert f"{named}: " in caught.value.why
    assert caught.value.remedy


def test_the_command_line_replaces_the_recipes_capabilities() -> None:
    assert carried(only_cell(recipe_of(), capabilities=asks("9.0;12.0"))) == "9.0 12.0"


def test_capabilities_are_the_reason_even_where_other_cells_have_others() -> None:
    recipe = recipe_of(torch=("2.9", "2.11"))  # 2.9 has CUDA 12.8, for which there is no packaged nvcc
    plan = plan_of(recipe, capabilities=asks("7.0"))
    with pytest.raises(CapabilityError) as caught:
        plan.choose(HERE)
    assert "no nvcc for CUDA 12.8" in caught.value.why
    assert "removed in CUDA 13.0" in caught.value.why


def test_native_and_torch_are_spelt_out_for_each_cell() -> None:
    machine = Machine(machine="x86_64", python=PythonVersion(3, 12), gpus=ccs("8.6 12.0"))
    assert carried(only_cell(recipe_of(), machine, capabilities=asks("native+PTX"))) == "8.6 12.0 + PTX 12.0"
    assert carried(only_cell(recipe_of(), capabilities=asks("torch"))) == "7.5 8.0 8.6 9.0 10.0 12.0"
    assert carried(only_cell(recipe_of(), capabilities=asks("all-major"))) == "7.5 8.0 9.0 10.0 11.0 12.0"


def test_native_without_a_gpu_is_an_error_that_says_so() -> None:
    with pytest.raises(CapabilityError, match="native") as caught:
        plan_of(recipe_of(), capabilities=asks("native"))
    assert "No GPU" in caught.value.why


def test_a_torch_that_is_not_known_is_rejected_with_those_that_are() -> None:
    cell = only_cell(recipe_of(torch=("9.9",)))
    assert cell.identifier == "cp312-torch9.9-x86_64"
    assert "torch 9.9 is not known here" in cell.reason
    assert "2.11" in cell.reason


def test_a_cuda_that_torch_was_not_built_with_is_rejected() -> None:
    cell = only_cell(recipe_of(), cuda=CudaVersion(12, 8), toolchain="system")
    assert cell.reason == "torch 2.11 on the package index is built with CUDA 13.0, not 12.8"


def test_a_recipe_may_name_its_cuda_versions() -> None:
    cells = plan_of(recipe_of(cuda=["13.0", "13.2"])).cells
    assert [(cell.identifier, cell.accepted) for cell in cells] == [
        ("cp312-torch2.11-cu130-x86_64", True),
        ("cp312-torch2.11-cu132-x86_64", False),
    ]


@pytest.mark.parametrize("python", ["3.9", "3.15"])
def test_a_python_without_wheels_of_that_torch_is_rejected(python: str) -> None:
    cell = only_cell(recipe_of(), python=PythonVersion.parse(python))
    assert cell.reason == "torch 2.11 has wheels for Python 3.10 to 3.14"


def test_the_package_index_has_no_compiler_for_cuda_12() -> None:
    recipe = recipe_of(torch=("2.9",))
    assert "use --toolchain system or redist" in only_cell(recipe).reason
    assert only_cell(recipe, toolchain="system").accepted
    assert only_cell(recipe, toolchain="redist").accepted


def test_a_stable_abi_is_not_promised_by_an_earlier_torch() -> None:
    cells = plan_of(recipe_of(torch=("2.11", "2.12"), build={"abi": "torch-stable >= 2.12"})).cells
    assert [cell.accepted for cell in cells] == [False, True]
    assert "stable ABI from 2.12 on" in cells[0].reason


MATRIX = {"python": ("3.12", "3.11"), "torch": ("2.11", "2.15")}


def test_cells_come_in_the_recipes_order_of_preference() -> None:
    assert [cell.identifier for cell in plan_of(recipe_of(**MATRIX)).cells] == [  # type: ignore[arg-type]
        "cp312-torch2.11-cu130-x86_64",
        "cp311-torch2.11-cu130-x86_64",
        "cp312-torch2.15-cu132-x86_64",
        "cp311-torch2.15-cu132-x86_64",
    ]


@pytest.mark.parametrize(
    ("own", "selection", "chosen"),
    [
        ("3.12", {}, "cp312-torch2.11-cu130"),
        ("3.11", {}, "cp311-torch2.11-cu130"),
        ("3.13", {}, "cp312-torch2.11-cu130"),
        ("3.11", {"torch": TorchVersion(2, 15)}, "cp311-torch2.15-cu132"),
        ("3.12", {"python": PythonVersion(3, 11)}, "cp311-torch2.11-cu130"),
        ("3.12", {"cuda": CudaVersion(13, 2)}, "cp312-torch2.15-cu132"),
        ("3.12", {"python": PythonVersion(3, 14), "torch": TorchVersion(2, 14)}, "cp314-torch2.14-cu130"),
    ],
)
def test_one_cell_is_chosen_for_this_python_unless_told_otherwise(
    own: str, selection: dict[str, Any], chosen: str
) -> None:
    machine = Machine(machine="aarch64", python=PythonVersion.parse(own))
    plan = plan_of(recipe_of(**MATRIX), machine, **selection)  # type: ignore[arg-type]
    assert plan.choose(machine).identifier == f"{chosen}-aarch64"


def test_a_matrix_without_a_buildable_cell_gives_every_reason_once() -> None:
    plan = plan_of(recipe_of(python=("3.9", "3.12", "3.9"), torch=("9.9", "2.11")), cuda=CudaVersion(13, 2))
    assert plan.variants == ()
    with pytest.raises(PlanError, match=r"demo 1\.0") as caught:
        plan.choose(HERE)
    lines = caught.value.why.splitlines()
    assert len(lines) == len(set(lines)) == 2
    assert all(" and 2 more: torch " in line for line in lines)
    assert caught.value.exit_code == 5
    assert "--python" in caught.value.remedy


def test_a_plan_is_written_as_json() -> None:
    written = json.loads(json.dumps(plan_of(recipe_of(capabilities="7.0;12.0+PTX", torch=("2.11", "9.9"))).to_json()))
    assert written["package"] == "demo 1.0"
    good, bad = written["cells"]
    assert (good["identifier"], good["accepted"], good["reason"]) == ("cp312-torch2.11-cu130-x86_64", True, None)
    assert good["capabilities"] == [
        {
            "capability": "7.0",
            "machine_code": True,
            "ptx": False,
            "accepted": False,
            "reason": "removed in CUDA 13.0, last in 12.9",
        },
        {"capability": "12.0", "machine_code": True, "ptx": True, "accepted": True, "reason": None},
    ]
    assert (bad["accepted"], bad["capabilities"]) == (False, [])
    assert "not known" in bad["reason"]


plain = st.sampled_from(sorted(capability_spans())).map(str)


@given(st.lists(plain, min_size=1, max_size=5), st.sampled_from(["2.8", "2.11", "2.15"]))
def test_every_capability_asked_for_is_either_carried_or_refused_with_a_reason(asked: list[str], torch: str) -> None:
    build = {"capability-list": "cmake"}  # which can say them all
    cell = only_cell(recipe_of(capabilities=";".join(asked), torch=(torch,), build=build), toolchain="system")
    assert {str(verdict.capability) for verdict in cell.verdicts} == set(asked)
    assert all(bool(verdict.reason) is not verdict.accepted for verdict in cell.verdicts)
    accepted = {verdict.capability for verdict in cell.verdicts if verdict.accepted}
    assert accepted == (set(cell.variant.capabilities.cubins) if cell.variant else set())


@pytest.mark.parametrize(
    ("style", "capabilities", "reason"),
    [
        ("torch", "8.0;compute_120", "cannot say PTX of 12.0 without its machine code; Ask for 12.0+PTX"),
        ("torch", "12.0f", "cannot say 12.0f"),
        ({"variable": "DEMO_CUDA_ARCHS"}, "8.0;12.0+PTX", "cannot say PTX of 12.0; Leave +PTX out"),
    ],
)
def test_what_the_package_has_no_way_to_be_told_is_rejected_before_it_is_built(
    style: object, capabilities: str, reason: str
) -> None:
    cell = only_cell(recipe_of(capabilities=capabilities, build={"capability-list": style}))
    assert not cell.accepted
    assert reason in cell.reason
