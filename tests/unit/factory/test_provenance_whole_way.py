"""From recipe to a wheel that says what it is made of: signed, locked, and built without a network."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bill_check import faults_of_bill
from fake_tools import PLAIN_TAG, build_request, compiler, give, toolchain, write_program, write_toolkit
from listening import Heard
from small_packages import path_source, sha256, write_project, write_recipe, write_wheel

from cudawheel.audit import report
from cudawheel.builder import isolation
from cudawheel.builder import tools as builder_tools
from cudawheel.builder.isolation import Isolation, isolate
from cudawheel.builder.lock import lock_path, read_lock
from cudawheel.errors import KeyFileError, LockError, NetworkNeededError, UnsignedError, WrongWheelError
from cudawheel.factory import job, proof
from cudawheel.factory.factory import Outcome, make_wheel
from cudawheel.factory.request import BuildRequest
from cudawheel.provenance.check import check_provenance, provenance_of
from cudawheel.provenance.keys import PrivateKey, PublicKey, load_public_key, new_key
from cudawheel.wheel.reading import Wheel

CUT = isolate(network=False).cut


@pytest.fixture(autouse=True)
def tools(links: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Something with a header, as torch has thousands of.
    write_wheel(links, "torch", "2.11.0", files={"torch/include/torch.h": "#pragma once\n"})
    write_wheel(links, "tiny-static", "1.0", files={"tiny_static/lib/libtiny.a": "!<arch>\n"})
    write_wheel(links, "tiny-make", "1.0", files={"tiny_make/share/probe.h": "int compiler;\n"})
    monkeypatch.setattr(builder_tools, "provide", give(toolchain(write_toolkit(tmp_path / "cuda"))))
    found = replace(compiler(), cxx=write_program(tmp_path / "bin" / "g++", "#!/bin/sh\n"), cc=None)
    monkeypatch.setattr(builder_tools, "find_host_compiler", give(found))
    monkeypatch.setattr(job, "find_host_compiler", give(compiler()))
    # Without auditwheel, which takes the better part of a second each time.
    monkeypatch.setattr(proof, "find_platform_tag", give(PLAIN_TAG))
    monkeypatch.setattr(report, "find_platform_tag", give(PLAIN_TAG))


@pytest.fixture
def key(tmp_path: Path) -> PrivateKey:
    return new_key(tmp_path / "keys")


@pytest.fixture
def trusted(key: PrivateKey) -> tuple[PublicKey, ...]:
    return (load_public_key(key.path.with_suffix(".pub")),)


def request(tmp_path: Path, build: str = "", **orders: Any) -> BuildRequest:
    write_project(tmp_path / "recipes" / "here", **orders)
    return build_request(write_recipe(tmp_path / "recipes", path_source("here"), build=build), tmp_path)


def make(asked: BuildRequest, heard: Heard | None = None, **changes: Any) -> Outcome:
    return make_wheel(replace(asked, **changes), heard or Heard())


def test_a_signed_build_has_its_provenance_beside_it(
    tmp_path: Path, key: PrivateKey, trusted: tuple[PublicKey, ...], links: Path
) -> None:
    asked = request(tmp_path, requires=["tiny-tool"])
    made = make(asked, signing_key=key.path)
    statement = check_provenance(made.wheel, trusted).statement
    definition = statement["predicate"]["buildDefinition"]
    asked_for = definition["externalParameters"]
    assert asked_for["recipe"]["digest"]["sha256"] == sha256(asked.recipe.read_bytes())
    assert asked_for["variant"] == made.record["variant"]["identifier"]
    assert (asked_for["capabilities"], asked_for["ptx"]) == (["8.0", "9.0"], ["9.0"])
    assert asked_for["networkAllowed"] is False
    assert definition["internalParameters"]["nvcc"] == "13.0.88"
    materials = {item["name"]: item["digest"] for item in definition["resolvedDependencies"]}
    for wheel in (
        "tiny_tool-1.0-py3-none-any.whl",
        "tiny_helper-1.0-py3-none-any.whl",
        "torch-2.11.0-py3-none-any.whl",
    ):
        assert materials[wheel] == {"sha256": sha256((links / wheel).read_bytes())}
    assert materials["here"] == {"cudawheelTree": made.record["source"]["identity"]}
    nvcc = (tmp_path / "cuda" / "bin" / "nvcc").read_bytes()
    assert materials["cuda-toolkit/bin/nvcc"] == {"sha256": sha256(nvcc)}
    run = statement["predicate"]["runDetails"]
    assert run["metadata"]["startedOn"] <= run["metadata"]["finishedOn"]


@pytest.mark.usefixtures("shared_environments")
def test_a_build_that_nobody_signs_is_unsigned(tmp_path: Path, trusted: tuple[PublicKey, ...]) -> None:
    made = make(request(tmp_path))
    assert not provenance_of(made.wheel).exists()
    with pytest.raises(UnsignedError):
        check_provenance(made.wheel, trusted)


def test_a_key_that_cannot_be_used_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    heard = Heard()
    with pytest.raises(KeyFileError):
        make(request(tmp_path), heard, signing_key=tmp_path / "gone.key")
    assert heard.phases == []


@pytest.mark.usefixtures("shared_environments")
def test_a_signed_wheel_out_of_the_store_brings_its_provenance(
    tmp_path: Path, key: PrivateKey, trusted: tuple[PublicKey, ...]
) -> None:
    asked = request(tmp_path)
    first = make(asked, signing_key=key.path)
    content = provenance_of(first.wheel).read_bytes()
    for path in asked.wheelhouse.iterdir():
        path.unlink()
    again = make(asked)
    assert again.cached
    assert provenance_of(again.wheel).read_bytes() == content
    assert make(asked, signing_key=key.path).cached
    assert check_provenance(again.wheel, trusted)


@pytest.mark.usefixtures("shared_environments")
def test_a_wheel_that_nobody_saw_being_built_is_built_again_to_be_signed(
    tmp_path: Path, key: PrivateKey, trusted: tuple[PublicKey, ...]
) -> None:
    asked = request(tmp_path)
    unsigned = make(asked)
    heard = Heard()
    made = make(asked, heard, signing_key=key.path)
    assert not made.cached
    assert any("built again to be signed" in note for note in heard.notes)
    assert made.record["wheel"]["sha256"] == unsigned.record["wheel"]["sha256"]
    assert check_provenance(made.wheel, trusted)
    other = new_key(tmp_path / "keys", "other")
    assert not make(asked, signing_key=other.path).cached, "nor does somebody else's signature count as one's own"


@pytest.mark.usefixtures("shared_environments")
def test_no_provenance_is_left_beside_another_wheel_of_the_name(tmp_path: Path, key: PrivateKey) -> None:
    asked = request(tmp_path)
    signed = make(asked, signing_key=key.path)
    write_project(tmp_path / "recipes" / "here", module="answer = 43\n")
    other = make(asked)
    assert other.wheel == signed.wheel
    assert not provenance_of(other.wheel).exists()


@pytest.mark.usefixtures("shared_environments")
def test_a_wheel_swapped_after_it_was_signed_is_found_out(
    tmp_path: Path, key: PrivateKey, trusted: tuple[PublicKey, ...]
) -> None:
    made = make(request(tmp_path), signing_key=key.path)
    made.wheel.write_bytes(made.wheel.read_bytes() + b"\0")
    with pytest.raises(WrongWheelError):
        check_provenance(made.wheel, trusted)


@pytest.mark.usefixtures("shared_environments")
def test_the_wheel_carries_a_bill_of_materials(tmp_path: Path) -> None:
    made = make(request(tmp_path, requires=["tiny-tool", "tiny-static", "tiny-make"]))
    wheel = Wheel.read(made.wheel)
    assert wheel.verify_record() == ()
    with zipfile.ZipFile(made.wheel) as archive:
        text = archive.read(f"{wheel.dist_info}/sboms/cudawheel.cdx.json").decode()
    assert faults_of_bill(text) is None
    components = {component["name"]: component for component in json.loads(text)["components"]}
    # What has headers may end in the binary; a tool that only runs does not.
    assert set(components) == {"tiny-ext", "cpython", "torch", "tiny-static", "cuda-toolkit"}
    assert components["torch"]["version"] == "2.11.0"
    assert components["cuda-toolkit"]["version"] == "13.0.88"
    assert json.loads(text)["metadata"]["component"]["version"] == str(wheel.version)


REACH = "python3 -c \"import socket; socket.create_connection(('192.0.2.1', 80), 5)\""


@pytest.mark.skipif(not CUT, reason="this kernel lets nobody here take the network away")
@pytest.mark.usefixtures("shared_environments")
def test_a_build_has_no_network_and_its_record_says_so(tmp_path: Path) -> None:
    made = make(request(tmp_path))
    assert made.record["build"]["network"].startswith("none: ")
    with pytest.raises(NetworkNeededError) as caught:
        make(request(tmp_path, run=[REACH]))
    assert "--network" in caught.value.remedy


@pytest.mark.usefixtures("shared_environments")
def test_where_nothing_can_be_cut_off_the_build_goes_on_and_says_so_everywhere(
    tmp_path: Path, key: PrivateKey, trusted: tuple[PublicKey, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_find", give(Isolation(how="none")))
    heard = Heard()
    made = make(request(tmp_path), heard, signing_key=key.path)
    assert any("not kept from the network" in note for note in heard.notes)
    assert made.record["build"]["network"].startswith("not cut off")
    statement = check_provenance(made.wheel, trusted).statement
    assert statement["predicate"]["buildDefinition"]["internalParameters"]["network"].startswith("not cut off")


@pytest.mark.usefixtures("shared_environments")
def test_a_build_that_is_allowed_the_network_is_another_one_and_says_so(
    tmp_path: Path, key: PrivateKey, trusted: tuple[PublicKey, ...]
) -> None:
    asked = request(tmp_path)
    without = make(asked)
    made = make(asked, network=True, signing_key=key.path)
    assert made.record["fingerprint"] != without.record["fingerprint"]
    assert made.record["build"]["network"] == "allowed by --network"
    statement = check_provenance(made.wheel, trusted).statement
    assert statement["predicate"]["buildDefinition"]["externalParameters"]["networkAllowed"] is True
    # And one that was built without does not serve who allows it, nor the other way round.
    assert make(asked).record["build"]["network"] != "allowed by --network"


def test_a_lock_is_written_used_and_renewed(tmp_path: Path, links: Path) -> None:
    asked = request(tmp_path, build='requires = ["tiny-helper"]')
    (links / "tiny_helper-2.0-py3-none-any.whl").rename(tmp_path / "newer.whl")
    lock = lock_path(asked.recipe)
    make(asked)
    assert not lock.exists(), "nobody asked for one"
    heard = Heard()
    made = make(asked, heard, lock="add")
    assert not made.cached
    assert any("packages locked" in note for note in heard.notes)
    (entry,) = read_lock(lock)
    assert entry.variant == made.record["variant"]["identifier"]
    assert {pin.name: pin.version for pin in entry.pins} == {"tiny-helper": "1.0", "torch": "2.11.0"}
    assert make(asked).cached, "what was locked is found again"
    assert make(asked, lock="add").cached
    # Something newer appears, and an empty machine still builds what was locked.
    (tmp_path / "newer.whl").rename(links / "tiny_helper-2.0-py3-none-any.whl")
    elsewhere = make(asked, cache=tmp_path / "elsewhere")
    assert "tiny-helper==1.0" in elsewhere.record["build"]["environment"]
    assert elsewhere.record["build"]["locked"] is True
    renewed = make(asked, lock="renew")
    assert "tiny-helper==2.0" in renewed.record["build"]["environment"]
    assert {pin.version for pin in read_lock(lock)[0].pins} == {"2.0", "2.11.0"}
    assert make(asked).record["build"]["environment"] == renewed.record["build"]["environment"]


def test_a_swapped_build_requirement_stops_a_locked_build(
    tmp_path: Path, links: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(tmp_path, build='requires = ["tiny-tool"]')
    make(asked, lock="add")
    write_wheel(links, "tiny-tool", "1.0", requires=["tiny-helper<2"], files={"tiny_tool/more.py": "malice = True\n"})
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    with pytest.raises(LockError, match="not the file that was pinned"):
        make(asked, cache=tmp_path / "elsewhere")
    assert not list((tmp_path / "elsewhere" / "store").glob("*/*.whl"))


def test_a_recipe_that_asks_for_more_than_its_lock_is_told(tmp_path: Path) -> None:
    asked = request(tmp_path)
    make(asked, lock="add")
    asked.recipe.write_text(asked.recipe.read_text().replace("[build]", '[build]\nrequires = ["tiny-tool"]'))
    with pytest.raises(LockError, match="does not fit") as caught:
        make(asked)
    assert "+ tiny-tool" in caught.value.why
    assert make(asked, lock="renew").record["build"]["locked"] is True


def test_a_backend_that_asks_for_more_than_was_locked_is_told(tmp_path: Path) -> None:
    asked = request(tmp_path, needs=["tiny-helper<2"])
    make(asked, lock="add")
    assert "tiny-helper==1.0" in make(asked, reuse=False).record["build"]["environment"]
    write_project(tmp_path / "recipes" / "here", needs=["tiny-tool"])
    with pytest.raises(LockError, match="lacks what the package's backend asks for"):
        make(asked)


@pytest.mark.usefixtures("shared_environments")
def test_locked_and_signed_builds_give_the_same_bytes(tmp_path: Path, key: PrivateKey) -> None:
    asked = request(tmp_path)
    made = make(asked, lock="add", signing_key=key.path)
    first = made.wheel.read_bytes()
    assert make(asked, reuse=False).wheel.read_bytes() == first
