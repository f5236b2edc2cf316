"""What is read out of CMake files, and how architectures that they fix are made to give way."""

from __future__ import annotations

import pytest

from cudawheel.draft.capability_list import CapabilityChoice, choose_capability_list
from cudawheel.draft.cmake import parse

PYPROJECT = '[build-system]\nrequires = ["scikit-build-core"]\nbuild-backend = "scikit_build_core.build"\n'


def test_commands_have_their_lines_words_and_conditions() -> None:
    text = (
        '#[[ b\nset(NOT HERE) ]]\nif(A AND (B OR C))\n  set(X "a b" ${Y}) # set(Z 1)\nelse()\n  option(W "help" ON)\n'
        "endif()\nproject(p\n  LANGUAGES CXX CUDA)\n"
    )
    found = {command.name: command for command in parse(text, "CMakeLists.txt")}
    assert found["set"].words == ("X", "a b", "${Y}")
    assert (found["set"].line, found["set"].conditions) == (4, ("A AND (B OR C)",))
    assert found["option"].conditions == ("NOT (A AND (B OR C))",)
    assert (found["project"].line, found["project"].conditions) == (8, ())


@pytest.mark.parametrize("text", ["set(A", 'set(A "b)', ")))", "endif()\nelse()\nset(A B)", ""])
def test_a_damaged_file_is_read_as_far_as_it_goes(text: str) -> None:
    assert len(list(parse(text, "CMakeLists.txt"))) <= 3


@pytest.mark.parametrize(
    ("text", "on", "by_default"),
    [
        ('if("$ENV{X}")', "1", False),
        ("if(DEFINED ENV{X})", "1", False),
        ("if(A)\nelseif($ENV{X})", "1", False),
        ('if("$ENV{X}" STREQUAL "cuda")', "cuda", False),
        ('if(NOT "$ENV{X}" STREQUAL "yes" AND B)', "yes", False),
        ("if($ENV{X} EQUAL 2)", "2", False),
        ('if("$ENV{X}" MATCHES "^on$")', "on", False),
        ('if(NOT "$ENV{X}" STREQUAL "OFF")', "1", True),
        ('if(NOT "$ENV{X}" STREQUAL "")', "1", False),
        ("set(Y $ENV{X})", None, False),
    ],
)
def test_a_variable_of_the_environment_is_seen_and_what_turns_it_on(
    read, text: str, on: str | None, by_default: bool
) -> None:
    ((file, found),) = read({"CMakeLists.txt": f"# $ENV{{Y}}\n{text}\n"}).cmake.environment
    assert (file, found.name, found.line) == ("CMakeLists.txt", "X", 3 if "elseif" in text else 2)
    assert (found.on, found.on_by_default, found.written) == (on, by_default, False)


def test_what_is_only_told_or_written_is_not_asked(read) -> None:
    found = read({"CMakeLists.txt": 'message("$ENV{A}")\nset(ENV{B} 1)\n'}).cmake.environment
    assert [(one.name, one.written) for _, one in found] == [("B", True)]


def choose(read, cmake: str, pyproject: str = PYPROJECT) -> CapabilityChoice:
    return choose_capability_list(read({"pyproject.toml": pyproject, "CMakeLists.txt": cmake, "a.cu": ""}))


def test_cmake_without_torch_takes_cudaarchs(read) -> None:
    choice = choose(read, "project(p LANGUAGES CUDA)\n")
    assert (choice.style, choice.lines, choice.doubts) == ("cmake", (), ())


def test_cmake_with_torch_takes_torchs_variable(read) -> None:
    assert choose(read, "project(p LANGUAGES CUDA)\nfind_package(Torch REQUIRED)\n").style == "torch"


@pytest.mark.parametrize(
    "text",
    [
        "set(CMAKE_CUDA_ARCHITECTURES 80)\nproject(p LANGUAGES CUDA)\n",
        # CMake does not ask CUDAARCHS where the variable is set, under whatever condition it was set.
        "if(NOT CMAKE_CUDA_ARCHITECTURES)\nset(CMAKE_CUDA_ARCHITECTURES 80)\nendif()\nproject(p LANGUAGES CUDA)\n",
        "project(p LANGUAGES CUDA)\nset(CMAKE_CUDA_ARCHITECTURES native)\n",
    ],
)
def test_architectures_that_are_fixed_give_way(read, text: str) -> None:
    choice = choose(read, text)
    (line,) = choice.lines
    assert line.old in text.split("\n")
    assert line.new.lstrip().startswith("if(NOT DEFINED ENV{CUDAARCHS})\n")
    assert line.old in line.new
    assert len(choice.doubts) == 1
    assert choose(read, text.replace(line.old, line.new)).lines == ()


@pytest.mark.parametrize(
    "text",
    [
        "project(p LANGUAGES CUDA)\nif(NOT CMAKE_CUDA_ARCHITECTURES)\n  set(CMAKE_CUDA_ARCHITECTURES 80)\nendif()\n",
        "if(NOT DEFINED ENV{CUDAARCHS})\n  set(CMAKE_CUDA_ARCHITECTURES 80)\nendif()\nproject(p LANGUAGES CUDA)\n",
        "enable_language(CUDA)\nset_target_properties(p PROPERTIES CUDA_ARCHITECTURES ${CMAKE_CUDA_ARCHITECTURES})\n",
    ],
)
def test_architectures_that_give_way_already_are_left(read, text: str) -> None:
    choice = choose(read, text)
    assert (choice.lines, choice.doubts) == ((), ())


def test_a_propertys_architectures_become_those_asked_for(read) -> None:
    choice = choose(read, 'project(p LANGUAGES CUDA)\nset_target_properties(p PROPERTIES CUDA_ARCHITECTURES "70;80")\n')
    (line,) = choice.lines
    assert line.new == 'set_target_properties(p PROPERTIES CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")'


def test_a_command_over_several_lines_is_left_to_a_person(read) -> None:
    choice = choose(read, "project(p LANGUAGES CUDA)\nset(CMAKE_CUDA_ARCHITECTURES\n  70 80)\n")
    assert choice.lines == ()
    assert "not to be undone" in choice.doubts[0].found


def test_a_definition_in_pyproject_is_taken_out(read) -> None:
    row = 'CMAKE_CUDA_ARCHITECTURES = "all"'
    choice = choose(read, "project(p LANGUAGES CUDA)\n", f"{PYPROJECT}[tool.scikit-build.cmake.define]\n{row}\n")
    assert [(line.file, line.old, line.new) for line in choice.lines] == [("pyproject.toml", row, f"# {row}")]


def test_architectures_in_flags_are_noticed(read) -> None:
    choice = choose(read, 'project(p LANGUAGES CUDA)\nset(CMAKE_CUDA_FLAGS "-gencode arch=compute_80,code=sm_80")\n')
    assert "flags" in choice.doubts[0].found
