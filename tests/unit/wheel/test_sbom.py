"""The bill of materials in a wheel: valid, complete, in its place, and the same each time."""

from __future__ import annotations

import itertools
import json
import zipfile
from pathlib import Path

import pytest
from bill_check import faults_of_bill
from small_packages import sha256, write_wheel

from cudawheel.wheel.reading import Wheel
from cudawheel.wheel.rewrite import Changes, rewrite
from cudawheel.wheel.sbom import PLACE, SbomPart, find_bundled, make_sbom

PARTS = (
    SbomPart(role="source", name="tiny-ext", version="1.0", url="https://example.org/tiny.git", commit="a" * 40),
    SbomPart(role="headers", name="torch", version="2.11.0+cu130", package=True, sha256="b" * 64),
    SbomPart(role="headers", name="pybind11", version="3.0", package=True, sha256="c" * 64),
    SbomPart(role="toolkit", name="cuda-toolkit", version="13.0.88"),
    SbomPart(role="bundled", name="tiny_ext.libs/libgomp-1234.so.1.0.0", sha256="d" * 64),
)
TOOLS = (("nvcc", "13.0.88"), ("gcc", "14.2.0"))


def bill(*parts: SbomPart) -> bytes:
    return make_sbom("tiny-ext", "1.0+cu.13.0.torch.2.11", parts or PARTS, TOOLS)


def test_it_is_valid_by_the_standards_own_schema() -> None:
    assert faults_of_bill(bill().decode()) is None


def test_everything_is_listed_with_what_is_known_of_it() -> None:
    document = json.loads(bill())
    components = {component["name"]: component for component in document["components"]}
    assert set(components) == {part.name for part in PARTS}
    torch = components["torch"]
    assert torch["purl"] == "pkg:pypi/torch@2.11.0%2Bcu130"
    assert torch["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]
    source = components["tiny-ext"]
    assert source["externalReferences"] == [{"type": "vcs", "url": "https://example.org/tiny.git"}]
    assert {"name": "cudawheel:commit", "value": "a" * 40} in source["properties"]
    assert components["tiny_ext.libs/libgomp-1234.so.1.0.0"]["type"] == "file"
    assert document["metadata"]["component"]["version"] == "1.0+cu.13.0.torch.2.11"
    tools = {tool["name"]: tool["version"] for tool in document["metadata"]["tools"]["components"]}
    assert tools == dict(TOOLS)


def test_it_knows_no_clock_no_chance_and_no_order() -> None:
    assert {bill(*order) for order in itertools.permutations(PARTS, len(PARTS))} == {bill()}
    assert "timestamp" not in json.loads(bill())["metadata"]


def test_another_content_has_another_serial_number() -> None:
    numbers = {json.loads(bill(*PARTS[:count]))["serialNumber"] for count in range(1, len(PARTS) + 1)}
    assert len(numbers) == len(PARTS)


@pytest.mark.parametrize(
    ("name", "bundled"),
    [
        ("tiny_ext.libs/libgomp-24e2ab19.so.1.0.0", True),
        ("tiny_ext/lib/libtiny.so", True),
        ("tiny_ext/libtiny.so.3", True),
        ("libtiny.so", True),
        ("tiny_ext/_C.cpython-312-x86_64-linux-gnu.so", False),
        ("tiny_ext/_C.abi3.so", False),
        ("tiny_ext/libtiny.py", False),
        ("tiny_ext/calibrate.so.txt", False),
    ],
)
def test_libraries_are_told_from_extension_modules(name: str, bundled: bool, tmp_path: Path) -> None:
    wheel = Wheel.read(write_wheel(tmp_path, "tiny-ext", "1.0", files={name: "content"}))
    found = find_bundled(wheel)
    assert [(part.name, part.sha256) for part in found] == ([(name, sha256(b"content"))] if bundled else [])


def test_it_lies_where_it_is_looked_for_and_record_knows_it(tmp_path: Path) -> None:
    source = write_wheel(tmp_path, "tiny-ext", "1.0")
    made = rewrite(source, tmp_path / "out", Changes(local_version="cu.13.0", files={PLACE: bill()}))
    place = "tiny_ext-1.0+cu.13.0.dist-info/sboms/cudawheel.cdx.json"
    with zipfile.ZipFile(made) as archive:
        assert archive.read(place) == bill()
    wheel = Wheel.read(made)
    assert wheel.verify_record() == ()
    assert place in {row.path for row in wheel.record}
