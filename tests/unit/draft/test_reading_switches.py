"""The capability list of a setup.py, switches, requirements, imports and versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from draft_projects import CMAKE_SETUP, MESON, SKBUILD_CORE, TORCH, TORCH_SETUP

from cudawheel.draft.capability_list import Variable, choose_capability_list
from cudawheel.draft.imports import find_imports
from cudawheel.draft.metadata import Claim
from cudawheel.draft.observations import observe
from cudawheel.draft.project import Way
from cudawheel.draft.requirements import find_missing
from cudawheel.draft.switches import find_switches


def with_setup(code: str) -> dict[str, str]:
    return {**TORCH, "setup.py": TORCH_SETUP + code}


@pytest.mark.parametrize(
    ("files", "way"),
    [
        (TORCH, Way.TORCH_NINJA),
        (with_setup("BuildExtension.with_options(use_ninja=False)\n"), Way.TORCH_PLAIN),
        (SKBUILD_CORE, Way.SKBUILD_CORE),
        (CMAKE_SETUP, Way.CMAKE),
        (MESON, Way.MESON),
        ({"pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "odd"\n'}, Way.UNKNOWN),
        ({"setup.py": "from skbuild import setup\nsetup(name='x')\n"}, Way.SKBUILD),
        ({"setup.py": "from setuptools import setup\nsetup(name='x')\n"}, Way.SETUPTOOLS),
    ],
)
def test_the_way_of_building_is_told(read, files: dict[str, str], way: Way) -> None:
    assert read(files).way is way


@pytest.mark.parametrize(
    ("code", "item", "separator"),
    [
        ("os.getenv('X_CUDA_ARCHS', '80;90').split(';')", "{number}", ";"),
        ("os.getenv('X_CUDA_ARCHS', '8.0,9.0').split(',')", "{capability}", ","),
        ("A = os.getenv('X_CUDA_ARCHS', 'sm_80 sm_90')\nA.split()", "sm_{number}", " "),
    ],
)
def test_a_variable_of_the_packages_own_is_spelt_as_its_default(read, code: str, item: str, separator: str) -> None:
    choice = choose_capability_list(read(with_setup(code)))
    assert choice.style == Variable(variable="X_CUDA_ARCHS", item=item, separator=separator)
    assert not choice.takes_ptx
    assert choice.doubts == ()


def test_without_a_default_the_readme_says_how_it_is_spelt(read) -> None:
    files = with_setup("os.getenv('X_CUDA_ARCH', '')\n")
    assert "assumed" in choose_capability_list(read(files)).doubts[0].found
    choice = choose_capability_list(read({**files, "README.md": 'run X_CUDA_ARCH="8.0;9.0" pip install x\n'}))
    assert choice.style == Variable(variable="X_CUDA_ARCH", item="{capability}", separator=";")
    assert choice.doubts == ()


def test_a_variable_that_a_recipe_may_not_set_is_a_doubt(read) -> None:
    choice = choose_capability_list(read(with_setup("os.getenv('X_GENCODE', '80')\n")))
    assert choice.style == "torch"
    assert "may not set" in choice.doubts[0].found


def test_torchs_list_that_is_overwritten_is_a_doubt_and_one_that_yields_is_none(read) -> None:
    over = choose_capability_list(read(with_setup("os.environ['TORCH_CUDA_ARCH_LIST'] = '8.0'\n")))
    assert [doubt.field for doubt in over.doubts] == ["build.replacements"]
    yields = choose_capability_list(read(with_setup("os.environ.setdefault('TORCH_CUDA_ARCH_LIST', '8.0')\n")))
    assert yields.doubts == ()


@pytest.mark.parametrize(
    ("code", "environment"),
    [
        ("os.getenv('FORCE_CUDA', '0') == '1'", {"FORCE_CUDA": "1"}),
        ("os.environ.get('X_BUILD_CUDA', 'OFF') == 'ON'", {"X_BUILD_CUDA": "ON"}),
        ("os.getenv('X_FORCE_BUILD', 'FALSE') == 'TRUE'", {"X_FORCE_BUILD": "TRUE"}),
        ("os.getenv('ENABLE_CUDA', '') == 'ON'", {"ENABLE_CUDA": "ON"}),
        ("os.getenv('X_ENABLE_GPU', '0') == '1'", {"X_ENABLE_GPU": "1"}),
        ("os.getenv('X_CUDA', '0') == '1'", {"X_CUDA": "1"}),
        ("os.getenv('X_WITH_CUDA', '1') == '1'", {}),
        ("os.getenv('BUILD_NO_CUDA', '0') == '1'", {}),
        ("os.getenv('BUILD_NO_CUDA', '1') == '1'", {"BUILD_NO_CUDA": "0"}),
        ("os.getenv('FORCE_ONLY_CUDA', '0') == '1'", {}),
        ("os.getenv('CUDA_HOME')", {}),
        ("os.getenv('CUDA_VISIBLE_DEVICES', '0') == '1'", {}),
        ("os.getenv('USE_CUDA_VERSION', '0') == '1'", {}),
    ],
)
def test_switches_for_cuda_are_turned_on_and_nothing_else(read, code: str, environment: dict[str, str]) -> None:
    assert find_switches(read(with_setup(code))).environment == environment


def test_a_switch_that_a_recipe_may_not_set_is_a_doubt(read) -> None:
    found = find_switches(read(with_setup("os.getenv('CUDA_ODD', '0') == '1'\n")))
    assert found.environment == {}
    assert [doubt.field for doubt in found.doubts] == ["build.environment"]


def test_a_question_for_a_gpu_is_a_doubt_unless_a_switch_answers_it(read) -> None:
    asks = "if torch.cuda.is_available():\n    kind = CUDAExtension\n"
    assert any("GPU" in doubt.found for doubt in find_switches(read(with_setup(asks))).doubts)
    answered = with_setup(f"os.getenv('FORCE_CUDA', '0') == '1'\n{asks}")
    assert find_switches(read(answered)).doubts == ()


def test_a_setup_that_ends_without_a_gpu_is_let_past(read) -> None:
    found = find_switches(read(with_setup("if not torch.cuda.is_available():\n    raise RuntimeError('no GPU')\n")))
    (line,) = found.lines
    assert (line.old, line.new) == ("if not torch.cuda.is_available():", "if False:")


def test_options_of_cmake_and_meson_are_turned_on(read) -> None:
    assert find_switches(read(CMAKE_SETUP)).environment == {"CMAKE_ARGS": "-DWITH_CUDA=ON"}
    option = {"CMakeLists.txt": SKBUILD_CORE["CMakeLists.txt"] + 'option(USE_CUDA "x" OFF)\noption(CPU_ONLY "x" ON)\n'}
    found = find_switches(read({**SKBUILD_CORE, **option}))
    assert found.config_settings["cmake.define.USE_CUDA"] == "ON"


def with_cmake(text: str) -> dict[str, str]:
    files = {name: content for name, content in SKBUILD_CORE.items() if name != "CMakeLists.txt"}
    return {**files, "CMakeLists.txt": f"project(tiny LANGUAGES C)\n{text}"}


ENABLE = "enable_language(CUDA)\nendif()\n"


def test_the_project_that_asks_the_environment_for_cuda_gets_it(read) -> None:
    folder = Path(__file__).parents[2] / "packages" / "scale"
    found = find_switches(read({file.name: file.read_text() for file in folder.iterdir() if file.is_file()}))
    assert (found.environment, found.doubts) == ({"SCALE_WITH_CUDA": "1"}, ())


@pytest.mark.parametrize(
    ("cmake", "environment", "defines"),
    [
        (f'if("$ENV{{TINY_WITH_CUDA}}")\n{ENABLE}', {"TINY_WITH_CUDA": "1"}, {}),
        (f'if("$ENV{{TINY_WITH_BACKEND}}" STREQUAL "cuda")\n{ENABLE}', {"TINY_WITH_BACKEND": "cuda"}, {}),
        (f'if(NOT "$ENV{{WITH_CUDA}}" STREQUAL "0")\n{ENABLE}', {}, {}),
        (f'if(NOT "$ENV{{NO_CUDA}}")\n{ENABLE}', {}, {}),
        (f'option(USECUDA "x" OFF)\nif(USECUDA)\n{ENABLE}', {}, {"cmake.define.USECUDA": "ON"}),
        (f'option(WITH_GPU "x" $ENV{{GPU}})\nif(WITH_GPU)\n{ENABLE}', {}, {"cmake.define.WITH_GPU": "ON"}),
        (f'option(KERNELS "x" ON)\nif(KERNELS AND CMAKE_CUDA_COMPILER)\n{ENABLE}', {}, {}),
        (f"if(USE_ROCM)\nelse()\n{ENABLE}", {}, {}),
        ('if("$ENV{TINY_CUDA_HOME}")\nendif()\nenable_language(CUDA)\n', {}, {}),
    ],
)
def test_what_cmake_asks_before_it_switches_cuda_on_is_answered(
    read, cmake: str, environment: dict[str, str], defines: dict[str, str]
) -> None:
    found = find_switches(read(with_cmake(cmake)))
    assert (found.environment, found.config_settings) == (environment, defines)
    assert [doubt for doubt in found.doubts if doubt.field == "build"] == []


@pytest.mark.parametrize("before", ["", 'option(ACCELERATE "x" OFF)\n', "set(ACCELERATE ${X})\n"])
def test_what_decides_about_cuda_and_is_not_known_is_a_doubt(read, before: str) -> None:
    (doubt,) = find_switches(read(with_cmake(f"{before}if(ACCELERATE)\n{ENABLE}"))).doubts
    assert "if(ACCELERATE)" in doubt.found
    assert "CMakeLists.txt:" in doubt.found


def test_a_variable_that_cmake_hands_on_is_set_with_a_doubt(read) -> None:
    found = find_switches(read(with_cmake(f"set(USE_CUDA $ENV{{USE_CUDA}})\nif(USE_CUDA)\n{ENABLE}")))
    assert found.environment == {"USE_CUDA": "1"}
    assert [doubt.field for doubt in found.doubts] == ["build.environment"]


def test_mesons_option_is_turned_on(read) -> None:
    assert find_switches(read(MESON)).config_settings == {"setup-args": "-Dwith_cuda=enabled"}


def test_a_cmake_file_that_setup_does_not_use_has_no_say(read) -> None:
    files = {**TORCH, "CMakeLists.txt": CMAKE_SETUP["CMakeLists.txt"]}
    assert find_switches(read(files)).environment == {}


def test_requirements_that_nobody_names_are_found(read) -> None:
    project = read({**with_setup("import numpy, json, helper\nfrom packaging.version import parse\n"), "helper.py": ""})
    assert find_missing(project).requires == ("setuptools>=77", "wheel", "numpy", "packaging", "ninja")


def test_requirements_that_are_named_are_not_named_again(read) -> None:
    named = '[build-system]\nrequires = ["setuptools", "numpy", "ninja"]\nbuild-backend = "setuptools.build_meta"\n'
    project = read({**with_setup("import numpy\n"), "pyproject.toml": named})
    assert find_missing(project).requires == ()


def test_what_is_imported_only_in_some_cases_is_left_to_a_person(read) -> None:
    code = "try:\n    import parrots\nexcept ImportError:\n    pass\ndef f():\n    import psutil\n"
    found = find_missing(read(with_setup(code)))
    assert not {"parrots", "psutil"} & set(found.requires)
    assert "psutil (setup.py:" in found.doubts[0].found


def test_pkg_resources_asks_for_a_setuptools_that_has_it(read) -> None:
    assert "setuptools>=77,<82" in find_missing(read(with_setup("import pkg_resources\n"))).requires


def test_packages_and_extensions_are_imported(read) -> None:
    assert find_imports(read(TORCH)).names == ("tiny_ext", "tiny_ext._C")
    plain = {**TORCH, "csrc/a.cu": "TORCH_LIBRARY(tiny, m) {}\n"}
    found = find_imports(read(plain))
    assert found.names == ("tiny_ext",)
    assert found.doubts[0].field == "wheel.imports"


def test_cmakes_modules_are_imported_from_where_they_are_installed(read) -> None:
    assert find_imports(read(SKBUILD_CORE)).names == ("tiny_ext", "tiny_ext._core")


def test_an_extension_without_a_package_comes_after_torch(read) -> None:
    files = {
        "setup.py": TORCH_SETUP.replace('packages=["tiny_ext"],', "").replace("tiny_ext._C", "tiny_C"),
        "csrc/a.cu": TORCH["csrc/a.cu"],
    }
    assert find_imports(read(files)).names == ("torch", "tiny_C")


@pytest.mark.parametrize(
    ("files", "version", "sayers"),
    [
        ({}, "1.0", []),
        ({"PKG-INFO": "Metadata-Version: 2.1\nName: tiny_ext\nVersion: 2.0\n"}, "1.0", ["PKG-INFO says 2.0"]),
        ({"tiny_ext/version.py": "__version__ = '1.1'\n"}, "1.0", ["version.py says 1.1"]),
        ({"tiny_ext/version.py": "__version__ = '1.0+cu130'\n"}, "1.0", []),
    ],
)
def test_a_source_that_contradicts_itself_about_its_version_is_noticed(
    read, files: dict[str, str], version: str, sayers: list[str]
) -> None:
    metadata = read({**TORCH, **files}).metadata
    assert metadata.version == version
    said = " ".join(doubt.found for doubt in metadata.doubts)
    assert all(sayer in said for sayer in sayers)
    assert bool(metadata.doubts) == bool(sayers)


def test_a_file_name_that_lies_is_noticed(read) -> None:
    metadata = read(TORCH, promised=(Claim(where="the file name", version="3.0"),), name="other-ext").metadata
    assert metadata.version == "1.0"
    assert [doubt.field for doubt in metadata.doubts] == ["package.version", "package.name"]
    assert "the file name says 3.0" in metadata.doubts[0].found


def test_a_version_that_nothing_states_is_a_doubt(read) -> None:
    files = {**TORCH, "setup.py": TORCH_SETUP.replace('version="1.0"', "version=made_up()")}
    metadata = read(files).metadata
    assert metadata.version == ""
    assert "SETUPTOOLS_SCM_PRETEND_VERSION" in metadata.doubts[0].edit


@pytest.mark.parametrize(
    ("files", "word"),
    [
        (with_setup("import urllib.request\nurllib.request.urlretrieve('https://example.org/x', 'x')\n"), "network"),
        (with_setup("import subprocess\nsubprocess.run(['git', 'clone', 'https://example.org/x'])\n"), "network"),
        (with_setup("flags = ['-march=native']\n"), "processor of this machine"),
        (with_setup("open('requirements.txt').read()\n"), "opens requirements.txt"),
        ({name: text for name, text in TORCH.items() if name != "csrc/b.cpp"}, "csrc/b.cpp"),
        ({**TORCH, "tiny_ext/__init__.py": "from pkg_resources import get_distribution\n"}, "pkg_resources"),
        ({**TORCH, "csrc/a.cu": "#include <cutlass/cutlass.h>\n"}, "CUTLASS"),
        ({**TORCH, "csrc/a.cu": "#include <torch/csrc/stable/tensor.h>\n"}, "stable ABI"),
    ],
)
def test_what_makes_a_build_fail_is_said_beforehand(read, files: dict[str, str], word: str) -> None:
    assert any(word in doubt.found for doubt in observe(read(files)))


def test_a_folder_that_cmake_would_fetch_from_is_no_fetch(read) -> None:
    text = SKBUILD_CORE["CMakeLists.txt"] + "FetchContent_Declare(z SOURCE_DIR here)\n"
    assert list(observe(read({**SKBUILD_CORE, "CMakeLists.txt": text}))) == []


def test_a_plain_source_raises_no_doubt(read) -> None:
    assert list(observe(read(TORCH))) == []


def test_what_cmake_fetches_is_told_with_its_condition(read) -> None:
    text = SKBUILD_CORE["CMakeLists.txt"] + "if(NOT Z_FOUND)\nFetchContent_Declare(z)\nendif()\n"
    (doubt,) = observe(read({**SKBUILD_CORE, "CMakeLists.txt": text}))
    assert "fetches z (CMakeLists.txt:8 where NOT Z_FOUND)" in doubt.found
