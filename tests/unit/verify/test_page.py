"""The page of a verdict."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import pytest
from verdict_values import CAUGHT, ESCAPED, finding, verdict

from cudawheel.verify.page import answer_of, write_page
from cudawheel.verify.verdict import Verdict


@pytest.mark.parametrize(
    ("found", "start", "kind"),
    [
        (verdict(finding(), finding()), "Proven on cpu: all 2 checks", "good"),
        (verdict(finding(), finding("unproven", "cuda")), "Proven on cpu: all 1 checks", "good"),
        (verdict(finding(), finding("failed")), "Not proven: 1 of 2", "bad"),
        (verdict(finding(), finding("known defect", "cuda")), "1 checks proven on cpu and cuda; 1 upstream", "known"),
        (verdict(finding(), controls=(ESCAPED,)), "Void", "bad"),
        (replace(verdict(finding(), finding()), finished=False), "Stopped before the end: 2 checks had", "dim"),
        (replace(verdict(finding("failed")), finished=False), "Not proven: 1 of 1", "bad"),
    ],
)
def test_the_answer_in_a_sentence(found: Verdict, start: str, kind: str) -> None:
    sentence, drawn = answer_of(found)
    assert sentence.startswith(start)
    assert drawn == kind


def test_a_page_is_whole_in_itself_and_escapes_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "sphere.png").write_bytes(b"picture")
    shown = finding("failed", detail="<script>&", measured={"off_voxels": 3.0}, pictures=("sphere.png", "missing.png"))
    page = write_page(verdict(shown, controls=(CAUGHT, ESCAPED), unproven=("12.0 never ran",)), tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;&amp;" in text
    assert base64.b64encode(b"picture").decode() in text
    assert text.count("<img") == 1
    assert all(part in text for part in ("12.0 never ran", "off_voxels 3", "✗ not noticed", "✓ caught"))
    assert not re.search(r'(src|href)="(?!data:|https://)', text)


def test_a_picture_lies_in_the_folder_of_the_verdict_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "verified"
    (folder / "below").mkdir(parents=True)
    places = {"../secret.png": tmp_path / "secret.png", "below/one.png": folder / "below" / "one.png"}
    places[str(tmp_path / "secret.png")] = tmp_path / "secret.png"
    for place in places.values():
        place.write_bytes(b"secret")
    text = write_page(verdict(finding(pictures=(*places, "", ".", ".."))), folder).read_text(encoding="utf-8")
    assert "<img" not in text
    assert base64.b64encode(b"secret").decode() not in text


def test_what_is_wrong_comes_first(tmp_path: Path) -> None:
    found = verdict(finding(name="good"), finding("known defect", name="known"), finding("failed", name="wrong"))
    text = write_page(found, tmp_path).read_text(encoding="utf-8")
    assert text.index("wrong") < text.index("· known") < text.index("good <span")
