"""Recipes from files: what a good one says, and how a bad one is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from recipe_documents import TEXT, changed, document

from cudawheel.errors import RecipeError
from cudawheel.model.abi import TorchAbi
from cudawheel.model.version import PythonVersion, TorchVersion
from cudawheel.plan.plan import Machine, Selection, make_plan
from cudawheel.recipe.loading import load_recipe, parse_recipe
from cudawheel.recipe.schema import json_schema
from cudawheel.recipe.settings import CapabilityVariable

RECIPES = Path(__file__).parents[3] / "recipes"
FILES = sorted(path for path in RECIPES.glob("*.toml") if not path.name.endswith(".lock.toml"))


def test_a_recipe_is_read_into_values(tmp_path: Path) -> None:
    path = tmp_path / "demo.toml"
    path.write_text(TEXT, encoding="utf-8")
    loaded = load_recipe(path)
    recipe = loaded.recipe
    assert (recipe.package.name, recipe.package.version) == ("demo-ext", "1.0")
    assert recipe.matrix.python == (PythonVersion(3, 12), PythonVersion(3, 11))
    assert recipe.matrix.torch == (TorchVersion(2, 11), TorchVersion(2, 12))
    assert [source.label for source in recipe.sources] == ["upstream", "bundled"]
    assert recipe.build.environment == {"FORCE_CUDA": "1"}
    assert loaded.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert loaded.folder == tmp_path.resolve()


def test_relative_paths_start_where_the_recipe_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo.toml").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load_recipe(Path("demo.toml")).folder == tmp_path.resolve()


def test_what_a_recipe_does_not_say_has_a_default() -> None:
    recipe = parse_recipe(document(), Path("demo.toml"))
    assert str(recipe.capabilities.request) == "7.5;8.0;8.6;8.9;9.0;10.0;12.0+PTX"
    assert recipe.capabilities.unavailable == "drop"
    assert recipe.build.cuda == "required"
    assert recipe.build.abi == TorchAbi()
    assert recipe.build.capability_list == "torch"
    assert recipe.matrix.cuda == ()


def test_a_source_answers_some_fields_of_build_otherwise_and_keeps_the_rest() -> None:
    recipe = parse_recipe(document(), Path("demo.toml"))
    upstream, bundled = recipe.sources
    assert recipe.settings_for(upstream) == recipe.build
    theirs = recipe.settings_for(bundled)
    assert (str(theirs.abi), theirs.memory_per_job) == ("torch-stable >= 2.10", 0.5)
    assert (theirs.environment, theirs.requires) == (recipe.build.environment, recipe.build.requires)


@pytest.mark.parametrize("item", ["{number}", "{capability}", "sm_{major}{minor}", "{{{number}}}"])
def test_a_packages_own_capability_variable(item: str) -> None:
    whole = changed("build.capability-list", {"variable": "DEMO_CUDA_ARCHS", "item": item, "separator": ","})
    style = parse_recipe(whole, Path("demo.toml")).build.capability_list
    assert style == CapabilityVariable(variable="DEMO_CUDA_ARCHS", item=item, separator=",")


def test_every_source_but_the_first_is_a_fallback() -> None:
    recipe = parse_recipe(document(), Path("demo.toml"))
    assert [recipe.is_fallback(source) for source in recipe.sources] == [False, True]


def test_the_checked_in_schema_is_current() -> None:
    assert (RECIPES / "recipe.schema.json").read_text(encoding="utf-8") == json_schema(), (
        "cudawheel schema > recipes/recipe.schema.json"
    )


def test_the_schema_describes_every_field() -> None:
    schema = json.loads(json_schema())
    sections = {"Recipe": schema, **schema["$defs"]}
    silent = [
        f"{section}.{name}"
        for section, described in sections.items()
        for name, field in described["properties"].items()
        if section != "Recipe" and name != "kind" and not section.endswith("Overrides") and "description" not in field
    ]
    assert silent == []
    assert all(described["additionalProperties"] is False for described in sections.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_checked_in_recipe_loads_and_plans_for_every_source(path: Path) -> None:
    recipe = load_recipe(path).recipe
    machine = Machine(machine="x86_64", python=PythonVersion(3, 12))
    for source in recipe.sources:
        plan = make_plan(recipe, recipe.settings_for(source), Selection(), machine)
        # What needs no torch is built once for each CUDA; what needs it, with the CUDA that each torch was built with.
        others = recipe.matrix.torch or recipe.matrix.cuda
        assert len(plan.variants) == len(recipe.matrix.python) * len(others)
        variant = plan.choose(machine).variant
        assert variant is not None
        cubins = [str(capability) for capability in variant.capabilities.cubins]
        # Its kernels need Ampere, and are compiled for one capability of a generation.
        smaller = path.stem == "flash-attn"
        all_of_cuda_13 = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
        assert cubins == (["8.0", "9.0", "10.0", "12.0"] if smaller else all_of_cuda_13)
        assert [str(capability) for capability in variant.capabilities.ptx] == ([] if smaller else ["12.0"])


def test_there_are_recipes_to_load() -> None:
    assert {path.stem for path in FILES} >= {"torchmcubes", "chamferdist"}
    assert all(path.read_text(encoding="utf-8").startswith("#:schema ./recipe.schema.json\n") for path in FILES)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.toml") as caught:
        load_recipe(tmp_path / "nowhere.toml")
    assert caught.value.why == "No such file or directory"
    assert caught.value.remedy


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read"):
        load_recipe(tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[package\nname = 1", "line 1"),
        (b"[package]\nname = 'x'\nname = 'y'", "overwrite"),
        (b"\xff\xfe", "utf-8"),
        (b"x = " + b"[" * 100_000, ""),
    ],
    ids=["syntax", "twice", "not text", "bottomless"],
)
def test_what_is_not_toml_is_refused_with_the_place(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "demo.toml").write_bytes(content)
    with pytest.raises(RecipeError, match="is not TOML") as caught:
        load_recipe(tmp_path / "demo.toml")
    assert why in caught.value.why
    assert caught.value.faults == ()


def test_the_file_is_named_when_its_content_has_faults(tmp_path: Path) -> None:
    (tmp_path / "demo.toml").write_text(TEXT.replace('"1.0"', '"one"'), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"demo\.toml has 1 fault\n"):
        load_recipe(tmp_path / "demo.toml")


@pytest.mark.parametrize(
    ("label", "accepted"),
    [
        ("bundled", True),
        ("alternate", True),
        ("c", True),
        ("ct", True),
        ("cu", False),
        ("cuda", False),
        ("mirror", False),
    ],
)
def test_a_fallbacks_label_sorts_below_the_genuine_wheel(label: str, *, accepted: bool) -> None:
    whole = changed("sources.1.label", label)
    if accepted:
        assert parse_recipe(whole, Path("demo.toml")).sources[1].label == label
        return
    with pytest.raises(RecipeError) as caught:
        parse_recipe(whole, Path("demo.toml"))
    (fault,) = caught.value.faults
    assert (fault.path, fault.found) == ("sources[1].label", repr(label))
    assert "sort below 'cu'" in fault.allowed


def test_the_first_source_may_be_called_anything() -> None:
    assert parse_recipe(changed("sources.0.label", "upstream"), Path("demo.toml")).sources[0].label > "cu"
