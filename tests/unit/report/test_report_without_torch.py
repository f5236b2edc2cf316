"""The page on wheels that use CUDA without torch, and on what a recipe's check found."""

from __future__ import annotations

from datetime import datetime, timezone

from html_check import Element, read_page
from report_values import full_wheel, make_record, make_survey

from cudawheel.report.page import render

WRITTEN = datetime(2026, 11, 25, 10, 0, tzinfo=timezone.utc)
IMPORTED = {"modules": "tiny_ext", "torch": "", "python": "/somewhere/bin/python"}


def facts_of(**record: object) -> dict[str, str]:
    wheel = full_wheel("1.0+cu.13.0", record=make_record(**record))
    page: Element = read_page(render(make_survey(wheel), written=WRITTEN))
    terms, meanings = page.every("dt"), page.every("dd")
    return {term.text: meaning.text for term, meaning in zip(terms, meanings, strict=True)}


def test_a_wheel_without_torch_is_not_said_to_have_one() -> None:
    variant = {"identifier": "cp312-cu130-x86_64", "torch": "", "abi": ""}
    facts = facts_of(variant=variant, audit={"imported": IMPORTED})
    assert facts["Imports"] == "tiny_ext without torch"
    assert facts["Variant"] == "cp312-cu130-x86_64"
    assert not facts.get("torch")


def test_what_was_computed_stands_beside_what_was_imported() -> None:
    computed = {"program": "check.py", "sha256": "0" * 64, "result": "right", "said": ["cpu: all <is> right"]}
    assert facts_of(audit={"computed": computed})["Computed"] == "right (check.py): cpu: all <is> right"
    assert "Computed" not in facts_of()
