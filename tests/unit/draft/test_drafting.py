"""Drafts as a whole: they load and plan at once, lose nothing of what was found, and refuse what has no CUDA."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from draft_projects import CMAKE_SETUP, MESON, SKBUILD_CORE, TORCH, TORCH_SETUP
from hypothesis import given, settings
from hypothesis import strategies as st

from cudawheel.draft.drafting import Draft
from cudawheel.draft.values import Doubt, Finding
from cudawheel.draft.writing import write_recipe
from cudawheel.errors import DraftError, NoCudaError
from cudawheel.model.version import PythonVersion
from cudawheel.plan.plan import Machine, Selection, make_plan
from cudawheel.recipe.loading import parse_recipe
from cudawheel.recipe.recipe import Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MACHINE = Machine(machine="x86_64", python=PythonVersion(3, 12))
OWN_VARIABLE = {**TORCH, "setup.py": f"{TORCH_SETUP}os.getenv('X_CUDA_ARCHS', '80;90').split(';')\n"}
HARD_WIRED = {**TORCH, "setup.py": f'{TORCH_SETUP}flags = []\nflags.append("-arch=sm_80")\n'}


def loaded(text: str) -> Recipe:
    return parse_recipe(tomllib.loads(text), Path("draft.toml"))


@pytest.mark.parametrize("files", [TORCH, SKBUILD_CORE, CMAKE_SETUP, MESON, OWN_VARIABLE, HARD_WIRED])
def test_a_draft_loads_and_every_cell_of_it_can_be_built(draft_of, files: dict[str, str]) -> None:
    recipe = loaded(write_recipe(draft_of(files)))
    assert (recipe.package.name, recipe.package.version) == ("tiny-ext", "1.0")
    plan = make_plan(recipe, recipe.build, Selection(), MACHINE)
    assert plan.cells
    assert all(cell.accepted for cell in plan.cells)


@pytest.mark.parametrize("files", [TORCH, SKBUILD_CORE, CMAKE_SETUP, MESON, OWN_VARIABLE, HARD_WIRED])
def test_every_doubt_and_finding_stands_in_the_draft(draft_of, files: dict[str, str]) -> None:
    draft = draft_of(files)
    comments = " ".join(
        line.removeprefix("#").strip() for line in write_recipe(draft).split("\n") if line.startswith("#")
    )
    for text in [*(d.found for d in draft.doubts), *(d.edit for d in draft.doubts), *(f.said for f in draft.findings)]:
        assert " ".join(text.split()) in comments


def test_a_draft_is_the_same_each_time(draft_of) -> None:
    assert write_recipe(draft_of(TORCH)) == write_recipe(draft_of(TORCH))


def test_hard_wired_capabilities_become_replacements(draft_of) -> None:
    (replacement,) = loaded(write_recipe(draft_of(HARD_WIRED))).build.replacements
    assert (replacement.old, replacement.new) == ('flags.append("-arch=sm_80")', "pass")


def test_pythons_and_torches_that_the_package_refuses_are_left_out(draft_of) -> None:
    assert draft_of(SKBUILD_CORE).document["matrix"]["python"] == ["3.12", "3.11", "3.13"]
    bounded = TORCH_SETUP.replace('version="1.0",', 'version="1.0", install_requires=["torch>=2.13,<2.15"],')
    assert draft_of({**TORCH, "setup.py": bounded}).document["matrix"]["torch"] == ["2.13", "2.14"]


def test_a_torch_that_the_build_is_pinned_to_is_the_only_one(draft_of) -> None:
    pinned = '[build-system]\nrequires = ["setuptools", "ninja", "torch==2.14.0"]\n'
    assert draft_of({**TORCH, "pyproject.toml": pinned}).document["matrix"]["torch"] == ["2.14"]


def test_a_package_that_no_known_torch_suits_keeps_them_all_and_says_so(draft_of) -> None:
    bounded = TORCH_SETUP.replace('version="1.0",', 'version="1.0", install_requires=["torch<2"],')
    draft = draft_of({**TORCH, "setup.py": bounded})
    assert draft.document["matrix"]["torch"]
    assert "matrix.torch" in [doubt.field for doubt in draft.doubts]


def test_without_torch_the_matrix_has_cuda_instead_and_the_wheel_its_libraries(draft_of) -> None:
    text = SKBUILD_CORE["CMakeLists.txt"] + "target_link_libraries(_core PRIVATE CUDA::cusparse CUDA::cublas_static)\n"
    recipe = loaded(write_recipe(draft_of({**SKBUILD_CORE, "CMakeLists.txt": text})))
    assert not recipe.with_torch
    assert recipe.matrix.cuda
    assert recipe.wheel.cuda_libraries == ("cublas", "cusparse")


NO_CUDA = {"setup.py": "from setuptools import setup\nsetup(name='plain', version='1')\n", "plain/__init__.py": ""}


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (NO_CUDA, "its build compiles none"),
        ({**NO_CUDA, "plain/k.cu": ""}, "nothing in its build compiles them"),
        ({**NO_CUDA, "plain/k.py": "from torch.utils.cpp_extension import load\n"}, "as it is used"),
        ({**NO_CUDA, "plain/k.py": "import triton\n@triton.jit\ndef f(): ...\n"}, "as it is used"),
        ({**NO_CUDA, "setup.py": f"{NO_CUDA['setup.py']}compiler = 'nvcc'\n"}, "its build compiles none"),
        ({"setup.py": "print 'two'\n"}, "cannot be read as Python 3"),
        (
            {
                **TORCH,
                "setup.py": TORCH_SETUP.replace("CUDAExtension", "CppExtension").replace("csrc/a.cu", "csrc/c.cpp"),
            },
            "nothing in its build",
        ),
    ],
)
def test_what_compiles_nothing_for_cuda_is_refused(draft_of, files: dict[str, str], why: str) -> None:
    with pytest.raises(NoCudaError) as refused:
        draft_of(files)
    assert why in refused.value.why
    assert refused.value.exit_code == 71


def test_what_is_no_project_is_refused(draft_of) -> None:
    with pytest.raises(DraftError, match="not a Python project") as refused:
        draft_of({"a.cu": ""})
    assert not isinstance(refused.value, NoCudaError)


ODD_SETUP = """
import os
from setuptools import setup, Extension
setup(**x)
setup(name=[1], version=2, packages="p", install_requires="q", libraries=7)
Extension(*a)
Extension(name=3, sources=4)
os.getenv()
os.environ[x]
os.getenv("A", *b)
os.environ.get("B", {})
compiler = "nvcc"
"""


@pytest.mark.parametrize(
    "pyproject",
    [
        "",
        "[project]\nname = 3\nversion = 4\n[build-system]\nrequires = [1]\n[tool]\nscikit-build = 1\n",
        "[build-system]\nrequires = []\nbuild-backend = 5\n",
        "project = 1\nbuild-system = 2\ntool = 3\n",
        "[tool.scikit-build]\nwheel = 3\n",
        "[tool.scikit-build.wheel]\npackages = ['a b', 'src/c-d/']\n",
        "[build-system]\nrequires = 'x'\n[project]\nname = 'a b'\ndependencies = 'torch'\nrequires-python = 'odd'\n",
        "[project]\ndependencies = ['torch odd', '?']\nversion = 'one'\n",
        "not toml",
    ],
)
def test_a_source_that_is_odd_throughout_gives_a_draft_that_loads(draft_of, pyproject: str) -> None:
    draft = draft_of({"setup.py": ODD_SETUP, "pyproject.toml": pyproject, "a.cu": "", "a-b/__init__.py": ""})
    assert loaded(write_recipe(draft)).matrix.python
    assert draft.doubts


texts = st.text(max_size=200)


@settings(max_examples=150, deadline=None)
@given(
    found=texts, edit=texts, field=st.sampled_from(["build", "build.environment", "odd", "wheel.imports"]), line=texts
)
def test_whatever_a_source_says_the_draft_stays_toml(found: str, edit: str, field: str, line: str) -> None:
    document = {
        "package": {"name": "x", "version": "1"},
        "sources": [{"kind": "path", "label": "here", "path": "x"}],
        "build": {
            "environment": {"FORCE_CUDA": line},
            "config-settings": {line: "ON"},
            "replacements": [{"file": "setup.py", "old": line, "new": line}],
        },
        "wheel": {"imports": ["x"]},
    }
    empty = Draft(document=document, title="x", origin=found, findings=(), doubts=())
    draft = replace(
        empty,
        doubts=(Doubt(field=field, found=found, edit=edit),),
        findings=(Finding(topic="switch", said=found, where=line),),
    )
    # Lone surrogates are in no file that is UTF-8.
    text = write_recipe(draft).encode("utf-8", "replace").decode()
    assert tomllib.loads(text) == {**document}
