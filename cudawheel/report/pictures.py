"""Pictures of a verdict, scaled down and written into the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from cudawheel.report.reading import read_small

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_BYTES = 8 << 20
_MOST_PIXELS = 1 << 24
# A card of the page is so wide; of what cannot be scaled down, so many bytes are let in.
_SIDE = 224
_MOST_UNSCALED = 256 << 10
# Signature, length and type of the first chunk; behind them stand width and height (PNG specification, IHDR).
_SIZE_AT = 16


def read_pictures(folder: Path, names: Iterable[str]) -> Mapping[str, str]:
    """Give pictures of a folder as data URIs, by their file names; what is no PNG there is left out."""
    pictures = {}
    for name in dict.fromkeys(names):
        # A verdict is a file like any other: a name in it must not lead out of its folder.
        if not name or name in {".", ".."} or {"/", "\\", "\0"} & set(name):
            continue
        content, _ = read_small(folder / name, most=_MOST_BYTES)
        if content is not None and (small := scale_down(content)):
            pictures[name] = f"data:image/png;base64,{base64.b64encode(small).decode()}"
    return pictures


def scale_down(content: bytes) -> bytes:
    """Make a PNG small, at most 224 pixels wide and high unless it has fewer bytes as it is.

    Gives nothing where it is no PNG, or far too large.

    Without Pillow, which is an optional extra, a small file is given as it is.
    """
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (_SIZE_AT, _SIZE_AT + 4))
    if not content.startswith(_PNG) or not 0 < width * height <= _MOST_PIXELS:
        return b""
    as_it_is = content if len(content) <= _MOST_UNSCALED else b""
    try:
        from PIL import Image  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        return as_it_is
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            picture.thumbnail((_SIDE, _SIDE))
            sink = io.BytesIO()
            # Of a shaded mesh 64 colours are enough to see what is there.
            picture.convert("RGB").quantize(64).save(sink, "PNG", optimize=True)
    except (OSError, SyntaxError, ValueError):
        return b""  # damaged: Pillow says so with any of these
    return min(sink.getvalue(), as_it_is or sink.getvalue(), key=len)
