"""Takes secrets out of a line of a log, and what a terminal would act on."""

from __future__ import annotations

import re

MASK = "***"

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffd]+")

_NAME_OF_ONE = r"[\w.-]*(?:token|secret|passw(?:or)?d|credential|api[_-]?key|access[_-]?key|private[_-]?key)[\w.-]*"
_SECRETS = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # user:password@ and token@ of a URL; up to the last @ before the path, since a password may hold one.
        (r"(\b[a-z][a-z0-9+.-]*://)[^\s/'\"]*@", rf"\1{MASK}@"),
        # The same where a password holds a slash that nobody escaped.
        (r"(\b[a-z][a-z0-9+.-]*://)[^\s/@:'\"]+:[^\s@'\"]+@", rf"\1{MASK}@"),
        (r"([?&;](?:sig|signature|key|auth|x-amz-[\w-]+|" + _NAME_OF_ONE + r")=)[^\s&;'\"]+", rf"\1{MASK}"),
        (r"(\bauthorization['\"]?\s*[:=]\s*['\"]?(?:(?:basic|bearer|token|digest)\s+)?)[^\s'\"]+", rf"\1{MASK}"),
        # Of cookies all, up to where the header ends.
        (r"(\b(?:set-)?cookies?['\"]?\s*:\s*['\"]?)[^\s'\"][^'\"\r\n]*", rf"\1{MASK}"),
        (r"(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}", rf"\1{MASK}"),
        (r"(--?" + _NAME_OF_ONE + r"[= ]['\"]?)[^\s'\"]+", rf"\1{MASK}"),
        (r"(\b" + _NAME_OF_ONE + r"['\"]?\s*[=:]\s*['\"]?)[^\s'\"]+", rf"\1{MASK}"),
        # What well-known issuers begin their tokens with.
        (
            r"\b(?:(?:gh[pousr]_|github_pat_|glpat-|hf_|pypi-|npm_|sk-|xox[a-z]-|AKIA|AIza)[\w-]{12,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]+)",
            MASK,
        ),
    )
)


def plain(text: str) -> str:
    """Give a line without what a terminal would act on: colours, cursor movements, other control characters."""
    return _CONTROLS.sub(" ", _ESCAPES.sub("", text)).strip()


def mask(text: str) -> str:
    """Give a line with its credentials masked: those in URLs, of headers and options, and known kinds of tokens."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
