"""No secret leaves a log, and nothing that a terminal would obey."""

from __future__ import annotations

import pytest

from cudawheel.explain.masking import mask, plain
from cudawheel.explain.scanner import explain_text

SECRET = "s3cr3t-Value0123456789"  # noqa: S105 - that is the point


@pytest.mark.parametrize(
    "line",
    [
        f"Looking in indexes: https://user:{SECRET}@index.example/simple",
        f"Looking in indexes: https://{SECRET}@index.example/simple",
        f"git+ssh://git:{SECRET}/with/slashes@host/a.git",
        f"https://user:p@{SECRET}@index.example/simple",
        f"GET https://files.example/a.whl?Policy=x&X-Amz-Signature={SECRET}&y=1",
        f"GET https://files.example/a.whl?access_token={SECRET}",
        f"> Authorization: Bearer {SECRET}",
        f"headers: {{'Authorization': 'Basic {SECRET}'}}",
        f"proxy said: bearer {SECRET}",
        f"+ twine upload --password {SECRET} dist/a.whl",
        f"+ uv publish --token={SECRET}",
        f"HF_TOKEN={SECRET} pip install x",
        f"export AWS_SECRET_ACCESS_KEY='{SECRET}'",
        f'{{"api_key": "{SECRET}"}}',
        "cloning with ghp_s3cr3tValue0123456789abcd",
        "cloning with hf_s3cr3tValue0123456789abcd",
        "told xoxb-s3cr3tValue-0123456789-abcd so",
        "told xoxp-0123456789-s3cr3tValue so",
        "GET /maps?x=AIzaSys3cr3tValue0123456789abcdefghijklm",
        f"> Cookie: session={SECRET}; path=/",
        f"> Cookie: a=b; session={SECRET}",
        f"< Set-Cookie: session={SECRET}; Secure",
        f"headers: {{'Cookie': 'a=b; session={SECRET}'}}",
    ],
)
def test_a_secret_is_masked(line: str) -> None:
    shown = mask(line)
    assert "***" in shown
    assert "s3cr3t" not in shown


@pytest.mark.parametrize(
    "line",
    [
        "a.cu(3): error: expected a ';' before the 'class' token",
        "https://github.com/pytorch/pytorch/issues/1",
        "Downloading https://files.example/torch-2.9.0%2Bcu130.whl#sha256=00ff",
        "g++ -DKEY_COUNT=3 -c a.cpp",
        "mail to someone@host.example",
        "Downloading cookiecutter-2.6.0-py3-none-any.whl",
        "copying http/cookies.py -> build/lib",
        "error: no cookie",
    ],
)
def test_what_is_none_is_left_alone(line: str) -> None:
    assert mask(line) == line


def test_evidence_is_masked_and_nothing_else_of_the_log_is_told() -> None:
    log = f"TOKEN={SECRET}\nERROR: No matching distribution found for x from https://me:{SECRET}@host/\nPASSWORD={SECRET}\n"
    [found] = explain_text(log)
    assert [one.line for one in found.evidence] == [2]
    assert "s3cr3t" not in repr((found.evidence, found.cause, found.remedy, found.recipe))


def test_what_is_captured_is_masked_as_well() -> None:
    [found] = explain_text(f"ERROR: No matching distribution found for git+https://me:{SECRET}@host/a.git")
    assert "git+https://***@host/a.git" in found.cause


def test_a_secret_in_a_line_that_is_cut_does_not_survive_in_part() -> None:
    """Wherever the cut falls: half a URL would not be known for one with a password."""
    for before in range(900, 1100):
        line = f"https://user:{SECRET}@host/{'x' * (before - 40)} No matching distribution found for a"
        assert "s3cr3t" not in repr([one.evidence for one in explain_text(line)])
        line = f"No matching distribution found for a {'x' * (before - 40)} https://user:{SECRET}@host/"
        assert "s3cr3t" not in repr([one.evidence for one in explain_text(line)])


def test_colours_and_cursor_movements_are_taken_out() -> None:
    assert plain("\x1b[31;1mKilled\x1b[0m\x07") == "Killed"
    assert plain("a\x1b]8;;https://x.example\x1b\\b\x00c\u202ed") == "ab c d"
    [found] = explain_text("\x1b[31mKilled\x1b[0m\n")
    assert found.evidence[0].text == "Killed"
