"""From a survey to a page."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime, timezone

import html5lib
import pytest
from html_check import Element, read_page
from report_values import full_wheel, make_record, make_survey, make_wheel
from verdict_values import CAUGHT, ESCAPED, finding, verdict

from cudawheel.report import page as page_module
from cudawheel.report import words
from cudawheel.report.attestation import Attestation, Standing
from cudawheel.report.page import render
from cudawheel.report.values import Evidence, Survey, Trouble

WRITTEN = datetime(2026, 11, 25, 10, 0, tzinfo=timezone.utc)
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}\u202e\x00&amp;"
PICTURE = "data:image/png;base64,AAAA"


def page_of(survey: Survey) -> Element:
    return read_page(render(survey, written=WRITTEN))


def table(page: Element, name: str) -> list[list[str]]:
    (found,) = page.every("table", kind=name)
    return [[one.text for one in row.every() if one.tag in {"th", "td"}] for row in found.every("tr")]


def test_the_matrix_says_for_each_gpu_how_it_runs_each_wheel() -> None:
    page = page_of(make_survey(make_wheel(carries="8.0 9.0", ptx="9.0"), make_wheel("2.0", carries="")))
    head, first, second = table(page, "matrix")
    said = dict(zip(head[1:], first[1:], strict=True))
    assert said["8.0 A100, A30"] == "● native"
    assert said["8.6 RTX 30 series, A10, A40, RTX A6000"] == "● native"
    assert said["12.0 RTX 50 series, RTX PRO Blackwell"] == "◐ PTX"
    assert said["7.5 RTX 20 and GTX 16 series, T4"] == "○ no"
    assert not any("Jetson" in gpu for gpu in said), "no wheel for x86-64 installs there"
    assert second[1:] == ["no device code: runs on the CPU alone"]
    assert all(one.attributes.get("scope") in {"row", "col"} for one in page.every("th"))


def test_a_wheel_for_arm_shows_the_gpus_that_others_never_meet() -> None:
    arm = make_wheel("2.0", carries="8.7", apart=frozenset())
    head, first, second = table(page_of(make_survey(make_wheel(), arm)), "matrix")
    orin = head.index("8.7 Jetson Orin")
    assert (first[orin], second[orin]) == ("○ Arm only", "● native")


def test_costs_and_proofs_stand_side_by_side() -> None:
    proven = full_wheel("2.0", verdict=verdict(finding()))
    page = page_of(make_survey(proven, make_wheel("1.0")))
    _, first, second = table(page, "costs")
    assert first[1:] == ["6 min 45 s", "6.0 GiB", "✓ passed", "✓ proven", "· not signed"]
    assert second[1:] == ["not recorded", "not recorded", "· no record", "· not verified", "· not signed"]


@pytest.mark.parametrize(
    ("shown", "word"),
    [
        ({"verdict": verdict(finding(), finding("failed"))}, "failed"),
        ({"verdict": verdict(finding(), controls=(ESCAPED,))}, "void"),
        ({"verdict": verdict(finding(), finding("known defect"))}, "known defects"),
        ({"verdict": verdict(finding(), finding("unproven", "cuda"))}, "proven in part"),
        ({"verdict": verdict(finding(), controls=())}, "proven in part"),
        ({"verdict": verdict(finding("unproven"))}, "nothing proven"),
        ({"verdict_fault": "no JSON"}, "not readable"),
        ({}, "not verified"),
    ],
)
def test_a_verdict_in_a_word_claims_no_more_than_it_shows(shown: dict[str, object], word: str) -> None:
    assert words.verification(make_wheel(evidence=Evidence(**shown))).word == word


def test_the_plot_of_each_build_stands_on_the_page_with_ids_of_its_own() -> None:
    page = page_of(make_survey(full_wheel("1.0"), full_wheel("1.0", verdict=verdict(finding()))))
    plots = list(page.every("svg", kind="cudawheel-timeline"))
    assert len(plots) == 2
    for plot in plots:
        own = {one.attributes["id"] for one in plot.every() if "id" in one.attributes}
        aims = re.findall(r"url\(#([^)]+)\)", " ".join(one.attributes.get("fill", "") for one in plot.every()))
        assert {*aims, *plot.attributes["aria-labelledby"].split()} <= own
        assert aims, "the bar of what ran out of memory is hatched"
    assert sum(".cudawheel-timeline" in one.text for one in page.every("style")) == 1


def test_of_many_wheels_the_last_built_are_illustrated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_ILLUSTRATED", 1)
    judged = {"verdict": verdict(finding(pictures=("p",))), "pictures": {"p": PICTURE}}
    old = full_wheel("2.0", record=make_record(built_at="2026-01-01T00:00:00+00:00"), **judged)
    new = full_wheel("1.0", record=make_record(built_at="2026-01-01T00:00:00-01:00"), **judged)
    page = page_of(make_survey(old, make_wheel("0.1"), new))
    shown = [
        (len(list(one.every("svg", kind="cudawheel-timeline"))), len(list(one.every("img"))))
        for one in page.every("article")
    ]
    assert shown == [(0, 0), (0, 0), (1, 1)]
    assert "2.0-cp312-cp312-manylinux_2_34_x86_64.whl.svg" in page.text


def test_what_was_verified_is_shown_with_its_pictures() -> None:
    shown = finding(
        "failed", detail="off by 3", measured={"off_voxels": 3.0}, tolerance={"off_voxels": 1.0},
        pictures=("sphere.png", "gone.png"),
    )  # fmt: skip
    judged = verdict(finding(name="cube"), shown, controls=(CAUGHT, ESCAPED), unproven=("12.0 never ran",))
    page = page_of(make_survey(full_wheel(verdict=judged, pictures={"sphere.png": PICTURE})))
    (picture,) = page.every("img")
    assert picture.attributes["src"] == PICTURE
    assert "sphere" in picture.attributes["alt"]
    for part in ("off_voxels 3 (at most 1)", "✗ not noticed", "✓ caught", "12.0 never ran", "Void"):
        assert part in page.text
    assert page.text.index("sphere on cpu") < page.text.index("cube on cpu"), "what is wrong comes first"


def test_checks_that_were_not_tried_stand_together_by_the_reason() -> None:
    lacking = [finding("unproven", "cuda", name=name, detail="no GPU") for name in ("cube", "torus")]
    judged = verdict(*lacking, finding("unproven", name="scene", detail="no file"), finding(name="sphere"))
    page = page_of(make_survey(full_wheel(verdict=judged)))
    (shown,) = page.every("article")
    assert [one.text for one in shown.every("section", kind="finding")][:2] == [
        "· unproven · 2 checks on cuda: no GPU: cube, torus",
        "· unproven · 1 check on cpu: no file: scene",
    ]


def test_provenance_names_source_hash_tools_and_who_signed() -> None:
    signed = Attestation(keys=("ed25519:abcd",), predicate_type="https://slsa.dev/provenance/v1", builder="me")
    text = page_of(make_survey(full_wheel(attestation=signed))).text
    for part in (
        "3381600ddc3d2e4d74222f8495866be5fafbace4", "upstream: not reachable", "f" * 64, "13.0.88 (package)",
        "gcc 12.2.0", "torch==2.11.0", "7.0: removed in CUDA 13.0", "ed25519:abcd", "signed, not checked",
        "pip install --find-links wheelhouse tiny-ext==1.0+cu.13.0.torch.2.11",
    ):  # fmt: skip
        assert part in text


def test_materials_are_listed_with_their_hashes_where_the_record_has_them() -> None:
    materials = [{"name": "torch==2.11.0", "digest": {"sha256": "c" * 64}, "uri": "unused"}]
    record = make_record(materials=materials, build={"network": "cut off", "locked": True})
    text = page_of(make_survey(full_wheel(record=record))).text
    for part in (
        "1 material, with hashes",
        f"torch==2.11.0 sha256 {'c' * 64}",
        "cut off",
        "locked by version and hash",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("standing", "kind"), [("right", "good"), ("by an unknown key", "known"), ("not checked", "known")]
)
def test_a_signature_counts_as_good_only_where_it_was_checked(standing: Standing, kind: str) -> None:
    signed = Attestation(keys=("abcd",), predicate_type="x", builder="me", standing=standing)
    assert words.signature(full_wheel(attestation=signed)).kind == kind


def test_what_is_missing_damaged_or_stray_is_said() -> None:
    page = page_of(
        make_survey(
            make_wheel(evidence=Evidence(record_fault="build.seconds: below zero", attestation_fault="payload: odd")),
            make_wheel("2.0", yanked="crashes"),
            refused=(Trouble(path="cut.whl", reason="cut short"),),
            strays=(Trouble(path="notes.txt", reason="not a wheel"),),
        )
    )
    for part in (
        "Its build record cannot be read: build.seconds: below zero", "payload: odd", "yanked: crashes",
        "No build record lies beside it", "cut.whl cut short", "notes.txt not a wheel",
    ):  # fmt: skip
        assert part in page.text


def test_an_empty_wheelhouse_has_a_page_too() -> None:
    page = page_of(make_survey())
    assert "0 wheels of 0 projects" in page.text
    assert not list(page.every("table"))


def test_a_violation_of_the_audit_is_shown_open() -> None:
    violation = {"code": "CW101", "title": "capability missing", "where": "x.so", "found": "no 9.0", "remedy": "Add."}
    record = make_record(audit={"ok": False, "violations": [violation]})
    page = page_of(make_survey(full_wheel(record=record)))
    (opened,) = (one for one in page.every("details") if "open" in one.attributes)
    assert "CW101 · capability missing" in opened.text
    assert "x.so: no 9.0 Add." in opened.text


def test_nothing_hostile_gets_onto_the_page() -> None:
    url = "javascript:alert(3)"
    record = make_record(
        fingerprint=HOSTILE,
        source={"label": HOSTILE, "url": url, "identity": HOSTILE, "skipped": [{"label": HOSTILE, "reason": HOSTILE}]},
        recipe={"file": HOSTILE},
        toolchain={"nvcc": HOSTILE},
        audit={"ok": False, "violations": [dict.fromkeys(("code", "title", "where", "found", "remedy"), HOSTILE)]},
        build={
            "budget": HOSTILE,
            "environment": [HOSTILE],
            "timeline": {
                "reserve": 0, "cores": 1, "samples": [[0, 1, 2, 1, 0]],
                "events": [{"kind": "killed", "at": 1, "text": HOSTILE}],
                "units": [
                    {
                        "build": HOSTILE, "source": HOSTILE, "kind": HOSTILE, "passes": 1, "threads": 1, "start": 0,
                        "end": 1, "peak": 1, "outcome": HOSTILE,
                    }
                ],
            },
        },
    )  # fmt: skip
    shown = finding(name=HOSTILE, claim=HOSTILE, detail=HOSTILE, evidence=url, measured={HOSTILE: 1.0}, pictures=("p",))
    signed = Attestation(keys=(HOSTILE,), predicate_type=HOSTILE, builder=HOSTILE)
    wheel = full_wheel(record=record, verdict=verdict(shown), pictures={"p": PICTURE}, attestation=signed)
    survey = make_survey(
        make_wheel(path=HOSTILE, version=HOSTILE, requires=(HOSTILE,), yanked=HOSTILE, evidence=wheel.evidence),
        folder=HOSTILE,
        refused=(Trouble(path=HOSTILE, reason=HOSTILE),),
        strays=(Trouble(path=HOSTILE, reason=HOSTILE),),
    )
    text = render(survey, written=WRITTEN)
    page = read_page(text)
    assert len(list(page.every("script"))) == 1, "ours"
    assert [one.attributes["src"] for one in page.every("img")] == [PICTURE]
    assert not [name for one in page.every() for name in one.attributes if name.startswith("on")]
    assert not [one for one in page.every("a") if not re.match("#|https?://", one.attributes["href"])]
    assert not re.search("[\x00\u202e]", text)
    assert "{{ 7 * 7 }}" in page.text


def test_a_strict_parser_has_nothing_against_the_page() -> None:
    shown = full_wheel(verdict=verdict(finding(pictures=("p",)), finding("unproven")), pictures={"p": PICTURE})
    survey = make_survey(shown, make_wheel("0.9", carries=""), strays=(Trouble(path=HOSTILE, reason=HOSTILE),))
    html5lib.HTMLParser(strict=True).parse(render(survey, written=WRITTEN))


def test_the_page_needs_nothing_from_elsewhere_and_forbids_it() -> None:
    shown = full_wheel(verdict=verdict(finding(pictures=("p",))), pictures={"p": PICTURE})
    page = page_of(make_survey(shown))
    outside = [
        one.attributes[name]
        for one in page.every()
        for name in ("src", "srcset", "data", "poster", "xlink:href")
        if name in one.attributes and not one.attributes[name].startswith("data:")
    ]
    assert outside == []
    assert [one.attributes["href"] for one in page.every("link")] == ["data:,"]
    sheets = " ".join(one.text for one in page.every("style"))
    assert "@import" not in sheets
    assert "url(" not in sheets
    (policy,) = (one for one in page.every("meta") if one.attributes.get("http-equiv") == "Content-Security-Policy")
    (script,) = page.every("script")
    hashed = base64.b64encode(hashlib.sha256("".join(map(str, script.content)).encode()).digest()).decode()
    assert f"script-src 'sha256-{hashed}'" in policy.attributes["content"]
    assert policy.attributes["content"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (185_163, "181 KiB"),
        (3 << 20, "3.0 MiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_sizes_in_words(number: int, said: str) -> None:
    assert words.size(number) == said


def test_the_install_line_can_be_pasted_whatever_the_folder_is_called() -> None:
    wheel = make_wheel("1.0", path="sub/tiny_ext-1.0-py3-none-any.whl")
    assert words.install(make_survey(folder="my wheels; rm"), wheel) == (
        "pip install --find-links 'my wheels; rm/sub' tiny-ext==1.0"
    )
