"""The report as a browser shows it: narrow and wide, in the light and in the dark, by keyboard, to a screen reader."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from chromium import Page, browser, find_chromium
from report_values import full_wheel, make_record, make_survey, make_wheel
from verdict_values import CAUGHT, ESCAPED, finding, verdict

from cudawheel.report.attestation import Attestation
from cudawheel.report.page import render
from cudawheel.report.values import Survey, Trouble

PROGRAM = find_chromium()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: it is what shows the page")
CHECKS = (Path(__file__).parents[2] / "support" / "page_checks.js").read_text(encoding="utf-8")
OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
LONG = "a-very-long-name-without-any-space-" * 8


def everything() -> Survey:
    """A wheelhouse with every kind of thing that a page can show, some of it very long."""
    failed = verdict(
        finding("failed", detail=LONG, measured={"off_voxels": 3.0, LONG: 1.0}, evidence="https://example.org/" + LONG),
        finding("known defect"),
        finding("unproven", "cuda"),
        finding(pictures=("p",)),
        controls=(CAUGHT, ESCAPED),
        unproven=("12.0 never ran",),
    )
    violation = {"code": "CW101", "title": "capability missing", "where": LONG, "found": "no 9.0", "remedy": "Add."}
    spoiled = make_record(audit={"ok": False, "violations": [violation]}, fingerprint=LONG)
    signed = Attestation(keys=("k" * 64,), predicate_type="https://slsa.dev/provenance/v1", builder=LONG)
    return make_survey(
        full_wheel("3.0", verdict=verdict(finding()), attestation=signed),
        full_wheel("2.0", record=spoiled, verdict=failed, pictures={"p": "data:image/png;base64,AAAA"}),
        make_wheel("1.0+" + "long.local.version." * 6, carries="8.0", ptx="8.0", yanked=LONG),
        make_wheel("0.9", carries="", project="pure-python"),
        folder=f"/srv/{LONG}",
        refused=(Trouble(path=f"{LONG}.whl", reason="cut short"),),
        strays=(Trouble(path=LONG, reason="not a wheel"),),
    )


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    assert PROGRAM is not None
    with browser(PROGRAM) as started:
        yield started


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(everything(), written=datetime(2026, 11, 25, tzinfo=timezone.utc)), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 400, 1280])
def test_it_is_readable(width: int, scheme: str, page: Page, file: Path) -> None:
    page.show(file, width=width, scheme=scheme)
    page.run(OPEN_ALL)
    found = page.run(CHECKS)
    assert found["wrong"] == []
    assert found["least"] >= 4.5
    assert page.asked_for() == [file.as_uri()], "nothing from elsewhere"
    assert page.complaints() == []


def test_the_dark_is_dark(page: Page, file: Path) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        page.show(file, width=400, scheme=scheme)
        seen[scheme] = page.run("getComputedStyle(document.body).backgroundColor")
    assert seen == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ("document.querySelector('th').removeAttribute('scope')", "no scope"),
        ("document.querySelector('dt').style.color = '#999'", "contrast 2.85"),
        ("document.querySelector('h1').style.minWidth = '401px'", "wide in a window of 400"),
        ("document.querySelector('.wide').tabIndex = -1", "no key gets there"),
        ("document.querySelector('img').alt = ''", "no alt"),
        ("document.querySelector('h2').outerHTML = '<h5>x</h5>'", "a level is left out"),
        ("document.querySelector('caption').remove()", "no caption"),
        ("document.querySelectorAll('h3')[1].id = document.querySelector('h3').id", "twice"),
    ],
)
def test_the_checks_notice(spoil: str, complaint: str, page: Page, file: Path) -> None:
    page.show(file, width=400)
    page.run(f"{OPEN_ALL}; {spoil}; 0")
    assert any(complaint in sentence for sentence in page.run(CHECKS)["wrong"])


def test_no_rule_of_the_page_reaches_into_a_plot(page: Page, file: Path) -> None:
    page.show(file, width=1280)
    page.run(OPEN_ALL)
    # Attributes of SVG give way to any rule of a style sheet.
    changed = page.run(
        "[...document.querySelectorAll('svg.cudawheel-timeline rect')].flatMap((one) => ['width', 'height']"
        ".filter((side) => !one.getAttribute(side).endsWith('%') && "
        "Math.abs(one[side].baseVal.value - parseFloat(getComputedStyle(one)[side])) > 0.01)"
        ".map((side) => `${one.getAttribute('class')} ${side}`))"
    )
    assert changed == []
    assert page.run("document.querySelectorAll('svg.cudawheel-timeline rect.bar').length") > 0


def test_by_keyboard_alone(page: Page, file: Path) -> None:
    page.show(file, width=400)
    page.press("Tab")
    where = "(() => { const at = document.activeElement, box = at.getBoundingClientRect(); return "
    first = page.run(f"{where}[at.className, box.left >= 0, getComputedStyle(at).outlineStyle]; }})()")
    assert first == ["skip", True, "solid"], "the first stop leads past everything, and is seen"
    page.press("Enter")
    assert page.run("[location.hash, document.activeElement.id]") == ["#wheels", "wheels"]
    for _ in range(30):
        page.press("Tab")
        if page.run("document.activeElement.tagName") == "SUMMARY":
            break
    before = page.run("document.activeElement.parentElement.open")
    page.press("Enter")
    assert page.run("[document.activeElement.tagName, document.activeElement.parentElement.open]") == [
        "SUMMARY",
        not before,
    ]
    assert page.run("getComputedStyle(document.activeElement).outlineWidth") == "3px"


def test_to_a_screen_reader(page: Page, file: Path) -> None:
    page.show(file, width=400)
    nodes = page.tree()
    by_role: dict[str, list[str]] = {}
    for node in nodes:
        by_role.setdefault(node["role"], []).append(node["name"])
    assert by_role["table"] == ["Wheels against GPUs", "Build time, peak memory, and what was proven"]
    assert {"main", "banner", "navigation", "article", "search"} <= by_role.keys()
    assert any("8.0 A100, A30" in name for name in by_role["columnheader"])
    assert any("tiny-ext 3.0" in name for name in by_role["rowheader"])
    assert {"native", "PTX", "no"} <= set(by_role["cell"]), "without the marks, which are for the eye"
    for role in ("link", "button", "DisclosureTriangle", "searchbox", "combobox", "article", "region"):
        assert all(by_role.get(role, ["named"])), f"a {role} without a name"


def test_the_filter_hides_what_was_not_asked_for(page: Page, file: Path) -> None:
    page.show(file, width=1280)
    shown = "[...document.querySelectorAll('article')].filter((one) => !one.hidden).map((one) => one.dataset.wheel)"
    enter = (
        "((words, gpu) => { const form = document.querySelector('form'); form.elements[0].value = words; "
        "const one = [...form.elements[1].options].find((option) => option.text.startsWith(gpu)); "
        "form.elements[1].value = one.value; form.dispatchEvent(new Event('input')); "
        "return document.querySelector('output').value; })"
    )
    assert page.run(f"{enter}('TINY', 'any')") == "3 of 4 wheels shown"
    assert page.run(shown) == ["1", "2", "3"]
    page.run(f"{enter}('', '9.0')")
    assert page.run(shown) == ["1", "2", "3"], "natively, or through PTX"
    page.run(f"{enter}('', '7.5')")
    assert page.run(shown) == []
    page.run(f"{enter}('', 'any')")
    assert page.run(shown) == ["1", "2", "3", "4"]


def test_a_column_sorts_by_its_figures(page: Page, file: Path) -> None:
    page.show(file, width=1280)
    order = "[...document.querySelectorAll('.costs tbody tr')].map((row) => row.dataset.wheel)"
    click = "document.querySelectorAll('.costs th button')[{}].click()"
    page.run(click.format(1))
    assert page.run("document.querySelectorAll('.costs th')[1].ariaSort") == "ascending"
    assert page.run(order) == ["3", "4", "1", "2"], "what is not recorded comes first"
    page.run(click.format(0))
    assert page.run(order) == ["4", "3", "2", "1"]
    assert page.run("document.querySelectorAll('.costs [aria-sort]').length") == 1


def test_without_script_everything_is_there(page: Page, file: Path) -> None:
    page.show(file, width=400, script=False)
    roles = [node["role"] for node in page.tree()]
    assert "search" not in roles
    assert roles.count("article") == 4
    assert roles.count("table") == 2
    page.call("Emulation.setScriptExecutionDisabled", value=False)
