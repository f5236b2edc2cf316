"""Every fault of a recipe: dotted path, value, what is allowed; all of them at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe_documents import changed, document

from cudawheel.errors import Fault, RecipeError
from cudawheel.model.version import PythonVersion
from cudawheel.recipe.loading import parse_recipe
from cudawheel.recipe.recipe import Recipe

SHA = "a" * 64


def faults_of(whole: dict[str, Any]) -> tuple[Fault, ...]:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(whole, Path("demo.toml"))
    return caught.value.faults


# Where, what is put there, the path that is reported if it is another, and a part of what is said to be allowed.
FAULTS: list[tuple[str, object, str, str]] = [
    ("package", "demo", "package", "table"),
    ("package", ..., "package", "required"),
    ("package.name", "-demo-", "package.name", "letters"),
    ("package.name", 5, "package.name", "text in quotes"),
    ("package.name", ..., "package.name", "required"),
    ("package.version", "one", "package.version", "PEP 440"),
    ("package.version", "1.0+cu130", "package.version", "without a local part"),
    ("package.version", 1.0, "package.version", "text in quotes"),
    ("package.flavour", "x", "package.flavour", "no field of this name"),
    ("flavour", {"a": 1}, "flavour", "no field of this name"),
    ("sources", [], "sources", "at least one"),
    ("sources", "git", "sources", "list"),
    ("sources", 5, "sources", "list"),
    ("sources.0", "git", "sources[0]", "table"),
    ("sources.0.kind", "svn", "sources[0].kind", "'git', 'sdist', 'url', 'path'"),
    ("sources.0.kind", ..., "sources[0].kind", "required"),
    ("sources.0.label", "Up Stream", "sources[0].label", "^[a-z]"),
    ("sources.0.url", "git@example.org:demo", "sources[0].url", "https"),
    ("sources.0.commit", "main", "sources[0].commit", "{40}"),
    ("sources.0.commit", "0123456", "sources[0].commit", "{40}"),
    ("sources.0.branch", "main", "sources[0].branch", "no field of this name"),
    ("sources.0.subdirectory", "../other", "sources[0].subdirectory", "without .."),
    (
        "sources.0",
        {"kind": "sdist", "label": "a", "project": "p", "version": "1", "sha256": "x"},
        "sources[0].sha256",
        "{64}",
    ),
    ("sources.0", {"kind": "url", "label": "a", "url": "ftp://x/y", "sha256": SHA}, "sources[0].url", "https"),
    ("sources.0", {"kind": "url", "label": "a", "url": "https://x/y", "sha256": "A" * 64}, "sources[0].sha256", "{64}"),
    ("sources.1.label", "upstream", "sources[1].label", "of its own"),
    ("sources.1.label", "B", "sources[1].label", "^[a-z]"),
    ("sources.1.label", ..., "sources[1].label", "required"),
    ("sources.1.path", "/etc", "sources[1].path", "below"),
    ("sources.1.path", "a\0b", "sources[1].path", "below"),
    ("sources.1.path", "", "sources[1].path", "below"),
    ("sources.1.sha256", SHA, "sources[1].sha256", "no field of this name"),
    ("sources.1.build.abi", "torch", "sources[1].build.abi", "torch-stable >="),
    ("sources.1.build.cpu", "yes", "sources[1].build.cpu", "no field of this name"),
    ("capabilities.request", "8.6;RTX 9999", "capabilities.request", "RTX 5070 Ti"),
    ("capabilities.request", "", "capabilities.request", "7.5;8.0;12.0+PTX"),
    ("capabilities.request", 8.6, "capabilities.request", "text in quotes"),
    ("capabilities.unavailable", "warn", "capabilities.unavailable", "'drop' or 'fail'"),
    ("matrix.python", "3.12", "matrix.python", "list"),
    ("matrix.python", [], "matrix.python", "at least one"),
    ("matrix.python", [3.12], "matrix.python[0]", "text in quotes"),
    ("matrix.python", ["3.12", "three"], "matrix.python[1]", "3.12"),
    ("matrix.python", ["3.13t"], "matrix.python[0]", "3.12"),
    ("matrix.torch", ["2.11.1"], "matrix.torch[0]", "2.11"),
    ("matrix.torch", ..., "matrix.torch", "torch releases"),
    ("matrix.cuda", ["13"], "matrix.cuda[0]", "13.0"),
    ("build.cuda", "maybe", "build.cuda", "'required' or 'optional'"),
    ("build.cuda", {"a": 1}, "build.cuda", "'required' or 'optional'"),
    ("build.cuda", True, "build.cuda", "'required' or 'optional'"),
    ("build.abi", "torch-stable", "build.abi", "torch-stable >= 2.10"),
    ("build.capability-list", "make", "build.capability-list", "'torch' or 'cmake', or a table"),
    ("build.capability-list", 5, "build.capability-list", "'torch' or 'cmake', or a table"),
    ("build.capability-list", {}, "build.capability-list.variable", "required"),
    ("build.capability-list", {"variable": "PATH"}, "build.capability-list.variable", "*_CUDA_ARCHS"),
    (
        "build.capability-list",
        {"variable": "X_CUDA_ARCHS", "separator": ""},
        "build.capability-list.separator",
        "at least 1",
    ),
    *(
        ("build.capability-list", {"variable": "X_CUDA_ARCHS", "item": item}, "build.capability-list.item", "{number}")
        for item in (
            "{arch}",
            "{}",
            "{0}",
            "{number",
            "86",
            "{number[a]}",
            "{number.__class__}",
            "{number!r}",
            "{major:>99}",
        )
    ),
    ("build.config-settings", "x", "build.config-settings", "table"),
    ("build.config-settings", {"a": 1}, "build.config-settings.a", "text in quotes is required here, or a list"),
    (
        "build.config-settings",
        {"a": {"b": "c"}},
        "build.config-settings.a",
        "text in quotes is required here, or a list",
    ),
    ("build.config-settings", {"a": ["x", 1]}, "build.config-settings.a[1]", "text in quotes"),
    ("build.requires", ["setuptools >> 77"], "build.requires[0]", "PEP 508"),
    ("build.overrides", ["numpy", "=="], "build.overrides[1]", "PEP 508"),
    ("build.environment", {"LD_LIBRARY_PATH": "/x"}, "build.environment.LD_LIBRARY_PATH", "FORCE_*"),
    ("build.environment", {"USE A": "/x"}, "build.environment.USE A", "letters, digits and _"),
    ("build.environment", {"USE_A=1": "/x"}, "build.environment.USE_A=1", "letters, digits and _"),
    ("build.environment", {"USE_A": 1}, "build.environment.USE_A", "text in quotes"),
    ("build.environment", {"USE_A": "a\0b"}, "build.environment.USE_A", "NUL"),
    ("build.patches", ["../x.patch"], "build.patches[0]", "without .."),
    ("build.replacements", [{"file": "a", "old": "", "new": "x"}], "build.replacements[0].old", "at least 1"),
    (
        "build.replacements",
        [{"file": "a", "old": "x", "new": "y", "hits": 0}],
        "build.replacements[0].hits",
        "greater than",
    ),
    ("build.replacements", [{"file": "a", "old": "x"}], "build.replacements[0].new", "required"),
    ("build.memory-per-job", 0, "build.memory-per-job", "greater than 0"),
    ("build.memory-per-job", 1000, "build.memory-per-job", "512"),
    ("build.memory-per-job", float("nan"), "build.memory-per-job", "512"),
    ("build.memory-per-job", "much", "build.memory-per-job", "number"),
    ("build.memory_per_job", 3, "build.memory_per_job", "no field of this name"),
    ("wheel", ..., "wheel", "required"),
    ("wheel.imports", [], "wheel.imports", "at least one"),
    ("wheel.imports", ["a-b"], "wheel.imports[0]", "A-Za-z_"),
    ("wheel.imports", ["import os"], "wheel.imports[0]", "A-Za-z_"),
]


@pytest.mark.parametrize(("path", "value", "reported", "allowed"), FAULTS, ids=[f"{f[0]}={f[1]!r:.40}" for f in FAULTS])
def test_a_fault_is_told_once_by_path_value_and_what_is_allowed(
    path: str, value: object, reported: str, allowed: str
) -> None:
    (fault,) = faults_of(changed(path, value))
    assert fault.path == reported
    assert allowed in fault.allowed


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("package.version", "one", "'one'"),
        ("package.version", 1.5, "1.5"),
        ("package.version", ..., "nothing"),
        ("sources.0.kind", "svn", "'svn'"),
        ("sources.0.kind", ..., "nothing"),
        ("package.name", {"a": 1}, "a table"),
        ("matrix.python", [], "[]"),
        ("package.name", "-" + "x" * 500, "'-" + "x" * 57 + "…"),
        ("build.environment", {"PATH": "x"}, "'PATH'"),
    ],
)
def test_what_was_found_is_quoted_and_kept_short(path: str, value: object, found: str) -> None:
    (fault,) = faults_of(changed(path, value))
    assert fault.found == found


def test_all_faults_are_reported_at_once() -> None:
    whole = document()
    whole["package"]["version"] = "1.0+local"
    whole["sources"][0]["commit"] = "main"
    whole["sources"][1]["label"] = "upstream"
    whole["sources"][1]["build"]["abi"] = "forever"
    whole["matrix"]["python"] = ["3.12", 3.11, "x"]
    whole["build"]["environment"] = {"PATH": "/x", "USE_B": "1"}
    whole["extra"] = 1
    del whole["wheel"]["imports"]
    assert {fault.path for fault in faults_of(whole)} == {
        "package.version",
        "sources[0].commit",
        "sources[1].label",
        "sources[1].build.abi",
        "matrix.python[1]",
        "matrix.python[2]",
        "build.environment.PATH",
        "extra",
        "wheel.imports",
    }


def test_a_fault_elsewhere_hides_no_contradiction_of_the_matrix() -> None:
    whole = changed("capabilities", {"request": "nonsense"})
    whole["matrix"] = {"python": ["3.12"], "torch": ["2.11", "2.11"], "cuda": ["12.6"]}
    assert [fault.path for fault in faults_of(whole)] == ["capabilities.request", "matrix.torch", "matrix.cuda"]


def test_an_empty_recipe_lacks_every_required_section() -> None:
    assert {(fault.path, fault.found) for fault in faults_of({})} == {
        (section, "nothing") for section in ("package", "sources", "matrix", "wheel")
    }


def test_the_error_counts_and_prints_the_faults() -> None:
    with pytest.raises(RecipeError, match=r"^demo\.toml has 4 faults") as caught:
        parse_recipe({}, Path("demo.toml"))
    assert caught.value.why.count("\n") == 3
    assert "package: found nothing; this field is required" in caught.value.why
    assert "cudawheel schema" in caught.value.remedy


def test_a_label_with_two_faults_is_reported_once() -> None:
    (fault,) = faults_of(changed("sources.1.label", "Über"))
    assert (fault.path, fault.found) == ("sources[1].label", "'Über'")


toml_values = st.recursive(
    st.none().map(lambda _: "") | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
places = st.sampled_from(sorted({fault[0] for fault in FAULTS}))


@settings(max_examples=300)
@given(places, toml_values)
def test_whatever_stands_at_a_place_is_taken_or_reported_there(path: str, value: object) -> None:
    whole = changed(path, value)
    try:
        assert isinstance(parse_recipe(whole, Path("demo.toml")), Recipe)
    except RecipeError as error:
        assert error.faults  # noqa: PT017 - either way is fine, but a refusal has faults
        start = path.split(".", maxsplit=1)[0]
        assert all(fault.path.startswith(start) for fault in error.faults)  # noqa: PT017
        assert len({fault.path for fault in error.faults}) == len(error.faults)  # noqa: PT017


versions = st.from_regex(r"[0-9]{1,2}\.[0-9]{1,2}(\.[0-9]|t|rc1)?", fullmatch=True)


@given(versions)
def test_the_matrix_takes_minor_versions_and_nothing_longer(text: str) -> None:
    whole = changed("matrix.python", [text])
    if text.count(".") == 1 and text[-1] != "t" and "rc" not in text:
        (python,) = parse_recipe(whole, Path("demo.toml")).matrix.python
        assert python == PythonVersion(*map(int, text.split(".")))
    else:
        assert [fault.path for fault in faults_of(whole)] == ["matrix.python[0]"]
