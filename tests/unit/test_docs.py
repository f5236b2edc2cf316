"""Commands in the documentation run, or say why they do not; links lead somewhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from shell_pages import ROOT, blocks_of, faults_of, guides, pages, reader, run_page

COMMANDS = ROOT.joinpath(".ci", "run").read_text(encoding="utf-8")
TESTED = ROOT.joinpath("tests", "integration", "test_index_installers.py").read_text(encoding="utf-8")
GUIDES = (
    "blackwell",
    "choosing-capabilities",
    "cuda-12.8-hosts",
    "index-from-pip-and-uv",
    "writing-a-recipe",
    "wsl2-memory",
)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"#+ (?P<words>.+)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def offline(page: Path) -> bool:
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    return any(block.word == "run" for block in blocks) and not any(block.online for block in blocks)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_somebody_answers_for_every_command(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert faults_of(text, command_names=COMMANDS, tested_names=TESTED) == []


@pytest.mark.parametrize("page", [page for page in pages() if offline(page)], ids=name_of)
def test_what_a_page_says_is_what_happens(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    environment = reader(folder, os.environ, home=tmp_path / "home")
    assert run_page(page.read_text(encoding="utf-8"), folder, environment) == []


def test_the_guides_are_there_and_the_readme_leads_to_each() -> None:
    assert [page.stem for page in guides()] == sorted(GUIDES)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page for page in guides() if f"({name_of(page)})" not in readme] == []


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_to_other_pages_lead_somewhere(page: Path) -> None:
    lost = []
    for link in _LINK.finditer(page.read_text(encoding="utf-8")):
        path, _, anchor = link["target"].partition("#")
        if "://" in path:
            continue
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            lost.append(link["target"])
    assert lost == []


def anchors_of(page: Path) -> set[str]:
    """The names under which a page's headings are reached: small letters, and dashes for blanks."""
    headings = [_HEADING.fullmatch(line) for line in page.read_text(encoding="utf-8").splitlines()]
    return {re.sub(r"[^\w\- ]", "", one["words"]).lower().replace(" ", "-") for one in headings if one}


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("```sh\nls\n```\n", "line 1: neither `run`"),
        ("```\nls\n```\n", "line 1: neither `run`"),
        ("```powershell\nwsl --shutdown\n```\n", "line 1: neither `run`"),
        ("<!-- run -->\n\n```sh\nls\n```\n", "line 3: neither `run`"),
        ("<!-- output -->\n```sh\nls\n```\n", "line 2: neither `run`"),
        ("<!-- not run -->\n```sh\nls\n```\n", "line 2: `not run` without a reason"),
        ("<!-- not run: later -->\n```sh\nls\n```\n", "line 2: `not run` without a reason"),
        ("<!-- command: bake -->\n```sh\nls\n```\n", "line 2: CI runs no command 'bake'"),
        ("<!-- tested: never -->\n```sh\nls\n```\n", "line 2: no test asks for 'never'"),
        ("So:\n\n    pip install torch\n", "line 3: a command that is no fenced block"),
        ("So:\n\n    $ cudawheel doctor\n", "line 3: a command that is no fenced block"),
    ],
)
def test_a_command_that_nobody_answers_for_is_caught(page: str, fault: str) -> None:
    (found,) = faults_of(page, command_names=COMMANDS, tested_names=TESTED)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    "page",
    [
        "<!-- run -->\n```sh\nls\n```\n",
        "<!-- run: exit 2 -->\n```sh\nls x\n```\n",
        "<!-- not run: needs a GPU -->\n```sh\nls\n```\n",
        "<!-- command: test -->\n```sh\nls\n```\n",
        "<!-- tested: pip -->\n```sh\nls\n```\n",
        "```text\n$ ls\n```\n",
        "```toml\na = 1\n```\n",
        "- a list\n\n      deeper\n",
    ],
)
def test_what_is_answered_for_is_let_through(page: str) -> None:
    assert faults_of(page, command_names=COMMANDS, tested_names=TESTED) == []


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("<!-- run -->\n```sh\nexit 3\n```\n", "line 2: ended with 3"),
        ("<!-- run: exit 3 4 -->\n```sh\nexit 5\n```\n", "line 2: ended with 5"),
        ("<!-- run -->\n```sh\nfalse | true\n```\n", "line 2: ended with 1"),
        ("<!-- run -->\n```sh\necho $unset_here\n```\n", "line 2: ended with"),
        ("<!-- run -->\n```sh\necho a\n```\n<!-- output -->\n```text\nb\n```\n", "line 6: 'b' is not in"),
        ("<!-- run -->\n```sh\nprintf 'b\\na\\n'\n```\n<!-- output -->\n```text\na\nb\n```\n", "line 6: 'b' is not in"),
        ("<!-- run -->\n```sh\necho a\n```\n<!-- output -->\n```text\na … c\n```\n", "line 6: 'a … c' is not in"),
    ],
)
def test_a_page_that_does_not_tell_the_truth_is_caught(page: str, fault: str, tmp_path: Path) -> None:
    (found,) = run_page(page, tmp_path, os.environ)
    assert found.startswith(fault)


def test_blocks_of_a_page_work_in_one_folder_one_after_another(tmp_path: Path) -> None:
    page = (
        "<!-- file: deep/a.txt -->\n```toml\nx = 1\n```\n<!-- run -->\n```sh\ncat deep/a.txt; touch b\n```\n"
        "<!-- output -->\n```text\nx  =  1\n```\n<!-- run: exit 7 -->\n```sh\n[ -e b ]; echo one   two; exit 7\n```\n"
        "<!-- output -->\n```text\no…two\n```\n"
    )
    assert run_page(page, tmp_path, os.environ) == []
    assert (tmp_path / "deep" / "a.txt").read_text() == "x = 1\n"
