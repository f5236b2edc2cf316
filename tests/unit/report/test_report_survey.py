"""From a folder of files to a survey."""

from __future__ import annotations

import base64
import json
import os
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from report_values import record_json, write_beside
from small_packages import sha256, write_wheel
from verdict_values import finding, verdict

from cudawheel.errors import StoreError
from cudawheel.index.scan import Scanner
from cudawheel.provenance.envelope import SUFFIX, sign
from cudawheel.provenance.keys import PrivateKey, PublicKey, new_key
from cudawheel.provenance.statement import PREDICATE_TYPE, STATEMENT_TYPE
from cudawheel.report.pictures import scale_down
from cudawheel.report.survey import survey
from cudawheel.report.values import Evidence, WheelFacts


def put(folder: Path, name: str = "tiny-ext", version: str = "1.0") -> Path:
    return write_wheel(folder, name, version)


def only(folder: Path) -> WheelFacts:
    (wheel,) = survey(folder).wheels
    return wheel


def png(side: int, colour: int = 200) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + bytes((colour, row % 256, 90)) * side for row in range(side))
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def put_verdict(wheel: Path, **changes: Any) -> Path:
    folder = wheel.with_suffix(".verified")
    folder.mkdir()
    said = verdict(finding(pictures=("sphere.png",))).to_json() | {"wheel_sha256": sha256(wheel.read_bytes())}
    (folder / "verdict.json").write_text(json.dumps({**said, **changes}))
    (folder / "sphere.png").write_bytes(png(40))
    return folder


def envelope(digest: str) -> dict[str, Any]:
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "tiny", "digest": {"sha256": digest}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"runDetails": {"builder": {"id": "urn:me"}}},
    }
    return {
        "payloadType": "application/vnd.in-toto+json",
        "payload": base64.b64encode(json.dumps(statement).encode()).decode(),
        "signatures": [{"keyid": "abcd", "sig": "AA=="}],
    }


def test_a_wheel_is_found_with_all_that_lies_beside_it(tmp_path: Path) -> None:
    wheel = put(tmp_path)
    digest = sha256(wheel.read_bytes())
    write_beside(wheel, ".json", record_json(digest))
    write_beside(wheel, ".provenance.json", envelope(digest))
    (tmp_path / f"{wheel.name}.svg").write_text("<svg/>")
    put_verdict(wheel)
    found = survey(tmp_path)
    assert (found.refused, found.strays) == ((), ())
    (facts,) = found.wheels
    assert (facts.project, facts.version, facts.sha256, facts.pythons) == ("tiny-ext", "1.0", digest, ("any Python 3",))
    assert facts.supports == {}, "it holds no device code"
    evidence = facts.evidence
    assert evidence.record is not None
    assert evidence.record.build.seconds == pytest.approx(404.77)
    assert evidence.verdict is not None
    assert evidence.verdict.counts["proven"] == 1
    assert list(evidence.pictures) == ["sphere.png"]
    assert evidence.attestation is not None
    assert (evidence.attestation.keys, evidence.attestation.builder) == (("abcd",), "urn:me")


def test_a_bare_wheel_has_no_evidence_and_no_faults(tmp_path: Path) -> None:
    put(tmp_path)
    evidence = only(tmp_path).evidence
    assert not any((evidence.record, evidence.verdict, evidence.attestation, evidence.pictures))
    assert not any((evidence.record_fault, evidence.verdict_fault, evidence.attestation_fault))


def test_the_newest_version_comes_first(tmp_path: Path) -> None:
    for version in ("1.9", "1.10", "1.2"):
        put(tmp_path, version=version)
    put(tmp_path, name="another")
    found = [(wheel.project, wheel.version) for wheel in survey(tmp_path).wheels]
    assert found == [("another", "1.0"), ("tiny-ext", "1.10"), ("tiny-ext", "1.9"), ("tiny-ext", "1.2")]


def test_damaged_wheels_are_named_and_the_others_shown(tmp_path: Path) -> None:
    put(tmp_path, version="2.0")
    cut = put(tmp_path)
    cut.write_bytes(cut.read_bytes()[:200])
    (tmp_path / "nonsense.whl").write_bytes(b"x")
    found = survey(tmp_path)
    assert [wheel.version for wheel in found.wheels] == ["2.0"]
    assert {one.path for one in found.refused} == {cut.name, "nonsense.whl"}
    assert all(one.reason for one in found.refused)


def test_a_flipped_byte_is_found_by_the_record(tmp_path: Path) -> None:
    wheel = put(tmp_path)
    write_beside(wheel, ".json", record_json("1" * 64))
    found = survey(tmp_path)
    assert found.wheels == ()
    assert [one.path for one in found.refused] == [wheel.name]


def test_a_wheel_that_goes_while_it_is_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = put(tmp_path)
    scan = Scanner.scan

    def scan_and_lose(self: Scanner) -> object:
        found = scan(self)
        wheel.unlink()
        return found

    monkeypatch.setattr(Scanner, "scan", scan_and_lose)
    found = survey(tmp_path)
    assert found.wheels == ()
    assert [one.path for one in found.refused] == [wheel.name]


def test_two_wheels_of_one_name_with_other_bytes_are_both_refused(tmp_path: Path) -> None:
    first = put(tmp_path / "a")
    second = write_wheel(tmp_path / "b", "tiny-ext", "1.0", files={"more.py": "x = 1\n"})
    assert first.name == second.name
    found = survey(tmp_path)
    assert [one.path for one in found.refused] == [f"a/{first.name}", f"b/{second.name}"]


def test_stray_files_are_named(tmp_path: Path) -> None:
    wheel = put(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "gone-1.0-py3-none-any.whl.json").write_text("{}")
    lonely = tmp_path / "gone-1.0-py3-none-any.verified"
    lonely.mkdir()
    for name in ("verdict.json", "sphere.png"):
        (lonely / name).write_text("{}")
    (tmp_path / "report.html").write_text("an earlier report")
    (tmp_path / f".{wheel.name}.x1").write_text("being written")
    found = survey(tmp_path, leave_out=[tmp_path / "report.html"])
    assert [one.path for one in found.strays] == [
        "gone-1.0-py3-none-any.verified", "gone-1.0-py3-none-any.whl.json", "notes.txt",
    ]  # fmt: skip


def test_what_lies_beside_a_damaged_wheel_is_no_stray(tmp_path: Path) -> None:
    wheel = put(tmp_path)
    wheel.write_bytes(b"")
    write_beside(wheel, ".json", {})
    wheel.with_suffix(".verified").mkdir()
    (wheel.with_suffix(".verified") / "verdict.json").write_text("{}")
    found = survey(tmp_path)
    assert len(found.refused) == 1
    assert found.strays == ()


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda record: record["build"].update(seconds=-1), "build.seconds"),
        (lambda record: record["build"].update(peak_memory="much"), "build.peak_memory"),
        (lambda record: record["build"]["timeline"].update(samples=[[0, 1]]), "build.timeline.samples"),
        (lambda record: record["build"]["timeline"]["events"][0].update(kind="party"), "build.timeline.events"),
        (lambda record: record["build"]["timeline"]["units"][0].update(start=1e300), "build.timeline.units"),
        (lambda record: record.pop("source"), "source"),
        (lambda record: record.update(built_at="yesterday"), "built_at"),
        (lambda record: record.update(built_at="2026-01-01T00:00:00"), "built_at"),
        (lambda record: record.update(built_at="0001-01-01T00:00:00+14:00"), "built_at"),
        (
            lambda record: record["build"]["timeline"].update(samples=[[0, 0, 0, 0, 0]] * 10_001),
            "build.timeline.samples",
        ),
    ],
)
def test_a_record_that_cannot_be_read_is_said_and_where(
    spoil: Callable[[dict[str, Any]], None], place: str, tmp_path: Path
) -> None:
    wheel = put(tmp_path)
    record = record_json(sha256(wheel.read_bytes()))
    spoil(record)
    write_beside(wheel, ".json", record)
    evidence = only(tmp_path).evidence
    assert evidence.record is None
    assert evidence.record_fault.startswith(place)


@pytest.mark.parametrize(
    "text", ["", "not JSON", "[1, 2]", "{", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")]
)
def test_files_beside_a_wheel_that_are_no_json_are_faults(text: str, tmp_path: Path) -> None:
    wheel = put(tmp_path)
    (tmp_path / f"{wheel.name}.json").write_text(text)
    (tmp_path / f"{wheel.name}.provenance.json").write_text(text)
    put_verdict(wheel)
    (wheel.with_suffix(".verified") / "verdict.json").write_text(text)
    evidence = only(tmp_path).evidence
    assert all((evidence.record_fault, evidence.attestation_fault, evidence.verdict_fault))
    assert not any((evidence.record, evidence.attestation, evidence.verdict))


@pytest.mark.parametrize(
    "changes",
    [{"wheel_sha256": "0" * 64}, {"findings": 5}, {"findings": [{"name": "x"}]}, {"environment": {"torch": ["x"]}}],
)
def test_a_verdict_on_other_bytes_or_of_another_form_does_not_count(changes: dict[str, Any], tmp_path: Path) -> None:
    put_verdict(put(tmp_path), **changes)
    evidence = only(tmp_path).evidence
    assert evidence.verdict is None
    assert evidence.verdict_fault


@pytest.mark.parametrize(
    "changes",
    [
        {"payloadType": "text/plain"},
        {"payload": "no base64!"},
        {"payload": base64.b64encode(b"{}").decode()},
        {"signatures": []},
        {"payload": envelope("1" * 64)["payload"]},
    ],
)
def test_an_attestation_that_is_not_about_the_wheel_does_not_count(changes: dict[str, Any], tmp_path: Path) -> None:
    wheel = put(tmp_path)
    write_beside(wheel, ".provenance.json", {**envelope(sha256(wheel.read_bytes())), **changes})
    evidence = only(tmp_path).evidence
    assert evidence.attestation is None
    assert evidence.attestation_fault


def sign_wheel(wheel: Path, key: PrivateKey) -> Path:
    digest = sha256(wheel.read_bytes())
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": wheel.name, "digest": {"sha256": digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {},
    }
    path = wheel.with_name(f"{wheel.name}{SUFFIX}")
    path.write_bytes(sign(statement, key))
    return path


def test_a_signature_is_checked_with_the_keys_that_are_trusted(tmp_path: Path) -> None:
    mine, other = (new_key(tmp_path / "keys", name) for name in ("mine", "other"))
    wheelhouse = tmp_path / "wheelhouse"
    path = sign_wheel(put(wheelhouse), mine)

    def found(*trusted: PublicKey) -> Evidence:
        (wheel,) = survey(wheelhouse, trusted=trusted).wheels
        return wheel.evidence

    def standing(*trusted: PublicKey) -> str:
        attestation = found(*trusted).attestation
        assert attestation is not None
        return attestation.standing

    assert standing() == "not checked"
    assert standing(mine.public) == "right"
    assert standing(other.public) == "by an unknown key"
    assert standing(other.public, mine.public) == "right"
    envelope = json.loads(path.read_text())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"] = {"runDetails": {"builder": {"id": "somebody else"}}}
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    path.write_text(json.dumps(envelope))
    evidence = found(mine.public)
    assert evidence.attestation is None
    assert "changed after it was signed" in evidence.attestation_fault
    assert str(tmp_path) not in evidence.attestation_fault, "others read the page"


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "..", ".", "", "link.png", "text.png", "none.png"])
def test_no_picture_comes_from_outside_or_is_something_else(name: str, tmp_path: Path) -> None:
    wheelhouse = tmp_path / "wheelhouse"
    wheelhouse.mkdir()
    folder = put_verdict(put(wheelhouse), findings=[asdict(finding(pictures=(name,)))])
    for secret in (wheelhouse / "secret.png", tmp_path / "secret.png"):
        secret.write_bytes(png(8))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "text.png").write_text("root:x:0:0")
    assert only(wheelhouse).evidence.pictures == {}


def test_a_folder_of_a_verdict_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    wheelhouse = tmp_path / "wheelhouse"
    wheelhouse.mkdir()
    wheel = put(wheelhouse)
    put_verdict(wheel).rename(tmp_path / "elsewhere")
    wheel.with_suffix(".verified").symlink_to(tmp_path / "elsewhere")
    assert "link" in only(wheelhouse).evidence.verdict_fault


def test_a_record_that_is_a_link_or_a_pipe_is_not_read(tmp_path: Path) -> None:
    wheel = put(tmp_path)
    record = tmp_path / f"{wheel.name}.json"
    record.symlink_to("/etc/hostname")
    assert "link" in only(tmp_path).evidence.record_fault
    record.unlink()
    os.mkfifo(tmp_path / f"{wheel.name}.provenance.json")
    assert only(tmp_path).evidence.attestation_fault == "it is no file"


def test_pictures_are_scaled_down() -> None:
    pytest.importorskip("PIL", reason="without Pillow pictures are shown as they are")
    large = png(900)
    small = scale_down(large)
    assert max(struct.unpack(">II", small[16:24])) <= 224
    assert len(small) < len(large)


def test_without_pillow_small_pictures_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    small = png(40)
    assert scale_down(small) == small
    assert scale_down(small + b"\0" * (256 << 10)) == b"", "too large to be let in"


@pytest.mark.parametrize("content", [b"", b"GIF89a", png(8)[:30], b"\x89PNG\r\n\x1a\n" + b"\xff" * 40])
def test_what_is_no_picture_is_left_out(content: bytes) -> None:
    assert scale_down(content) in {b"", png(8)[:30]}


def test_a_wheelhouse_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        survey(tmp_path / "nowhere")
