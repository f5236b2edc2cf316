"""What a build record says of where everything came from, source by source."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_rooms import Rooms
from fake_tools import build_request
from listening import Heard
from loopback_server import Site
from small_packages import path_source, sha256, tar_of, url_source, write_project, write_recipe

from cudawheel.builder.pins import Pin
from cudawheel.factory.factory import make_wheel
from cudawheel.factory.materials import _package, _toolkit
from cudawheel.factory.request import BuildRequest
from cudawheel.provenance.statement import make_statement
from cudawheel.toolchain.toolchain import Toolchain

pytestmark = pytest.mark.usefixtures("rooms")


def materials(asked: BuildRequest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = make_wheel(asked, Heard()).record["materials"]
    return found


def test_a_repository_is_named_with_its_commit(asked: BuildRequest) -> None:
    record = make_wheel(asked, Heard()).record
    commit = record["source"]["identity"]
    source = record["materials"][0]
    assert source["digest"] == {"gitCommit": commit}
    assert source["uri"] == f"git+{record['source']['url']}@{commit}"


def test_an_archive_is_named_with_its_address_and_hash(site: Site, tmp_path: Path) -> None:
    content = tar_of({"tiny-1.0/pyproject.toml": b"[project]\n"})
    site.files["tiny-1.0.tar.gz"] = content
    address = f"{site.url}tiny-1.0.tar.gz"
    asked = build_request(write_recipe(tmp_path / "recipes", url_source(address, content)), tmp_path)
    assert materials(asked)[0] == {"name": "archive", "uri": address, "digest": {"sha256": sha256(content)}}


def test_what_a_recipe_changes_is_an_input_of_its_own(tmp_path: Path) -> None:
    write_project(tmp_path / "recipes" / "here")
    recipe = write_recipe(tmp_path / "recipes", path_source("here"))
    plain = build_request(recipe, tmp_path)
    assert [item["name"] for item in materials(plain)][:1] == ["here"]
    change = '\n[[build.replacements]]\nfile = "backend.py"\nold = "import json, os, sys, time"\n'
    change += 'new = "import json, os, sys, time  # changed"\n'
    recipe.write_text(recipe.read_text().replace("\n[wheel]", f"{change}\n[wheel]"))
    source, changes, *_ = materials(plain)
    assert source["name"] == "here"
    assert changes["name"] == "patches and replacements"
    assert len(changes["digest"]["sha256"]) == 64


@pytest.mark.parametrize(
    ("pin", "expected"),
    [
        (
            Pin(name="torch", version="2.11.0", sha256=("a",), files=("torch-2.11.0.whl",)),
            {"name": "torch-2.11.0.whl", "uri": "pkg:pypi/torch@2.11.0", "digest": {"sha256": "a"}},
        ),
        (
            Pin(name="torch", version="2.11.0", sha256=("a", "b"), files=("1.whl", "2.whl")),
            {"name": "torch", "uri": "pkg:pypi/torch@2.11.0", "annotations": {"oneOfSha256": ["a", "b"]}},
        ),
        (Pin(name="tool", version="1.0"), {"name": "tool", "uri": "pkg:pypi/tool@1.0"}),
    ],
)
def test_a_package_is_named_with_what_is_known_of_it(pin: Pin, expected: dict[str, Any]) -> None:
    assert _package(pin) == expected


def test_of_a_systems_toolkit_the_programs_are_hashed(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ptxas").write_bytes(b"assembler")
    (tmp_path / "bin" / "nsys").write_bytes(b"no part of a build")
    toolkit = Toolchain(
        kind="system",
        home=tmp_path,
        nvcc=tmp_path / "bin" / "nvcc",
        version=None,  # type: ignore[arg-type] # not looked at
        release="13.0.88",
        gpu_codes=(),
    )
    assert list(_toolkit(toolkit)) == [("cuda-toolkit/bin/ptxas", sha256(b"assembler"))]
    archives = replace(toolkit, kind="redist", components=(("cuda_nvcc.tar.xz", "c" * 64),))
    assert list(_toolkit(archives)) == [("cuda_nvcc.tar.xz", "c" * 64)]
    assert list(_toolkit(replace(toolkit, kind="package"))) == [], "its packages are in the build environment"


def test_the_statement_follows_from_the_record_as_it_is_stored(asked: BuildRequest, rooms: Rooms) -> None:
    record = make_wheel(asked, Heard()).record
    stored = json.loads(next((asked.cache / "store").glob("*/record.json")).read_text())
    assert make_statement(stored) == json.loads(json.dumps(make_statement(record)))
    assert make_statement(stored)["subject"][0]["digest"]["sha256"] == record["wheel"]["sha256"]
    assert rooms.built == ["upstream"]
