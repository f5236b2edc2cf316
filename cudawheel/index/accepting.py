"""Which representation a client gets: PEP 691's content negotiation."""

from __future__ import annotations

import re

from cudawheel.index.pages import Format

_QUALITY = re.compile(r"[01](\.\d{0,3})?", re.ASCII)
# The order decides between equals: people with a browser and clients that ask for nothing get plain HTML.
_OFFERED = {
    "text/html": Format.HTML,
    "application/vnd.pypi.simple.v1+json": Format.JSON_V1,
    "application/vnd.pypi.simple.v1+html": Format.HTML_V1,
    "application/vnd.pypi.simple.latest+json": Format.JSON_V1,
    "application/vnd.pypi.simple.latest+html": Format.HTML_V1,
}


def choose_format(accept: str) -> Format | None:
    """Give what an Accept header likes best of what is offered; None where it likes nothing of it.

    An empty header likes everything. A part that cannot be read is passed over.
    """
    if not accept.strip():
        return Format.HTML
    likes = _likes(accept)
    best, best_quality = None, 0.0
    for name, form in _OFFERED.items():
        kind = name.partition("/")[0]
        # The most exact part counts, RFC 9110, section 12.5.1.
        quality = next((likes[key] for key in (name, f"{kind}/*", "*/*") if key in likes), 0.0)
        if quality > best_quality:
            best, best_quality = form, quality
    return best


def _likes(accept: str) -> dict[str, float]:
    likes = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        said = next((piece[2:].strip() for piece in parameters if piece.startswith("q=")), "1")
        if name and _QUALITY.fullmatch(said):
            likes[name] = float(said)
    return likes
