"""Pictures: from any image file to what the network looks at, the object alone, centred, on grey."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from cudawheel.errors import ImageError

BACKGROUND = 0.5
FOREGROUND_RATIO = 0.85
# Larger pictures are made smaller first. The network sees 512 x 512.
_LARGEST_SIDE = 4096
_SIXTEEN_BITS = (1 << 16) - 1
_BYTE = 255

RemoveBackground = Callable[[Image.Image], Image.Image]


def read_picture(file: Path) -> Image.Image:
    """Read an image file of any kind that Pillow knows: the first picture in it, turned upright.

    Returns:
        mode RGBA where the file says which pixels are transparent, else RGB; 8 bits, no side longer than 4096.

    Raises:
        ImageError: it is missing, no image, damaged, or larger than Pillow thinks safe to unpack.
    """
    try:
        # Pillow warns of large pictures and refuses very large ones; the refusal is enough.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as picture:
                return to_rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError as error:
        raise ImageError(f"{file} is no image that can be read", remedy="Use a PNG, JPEG or WebP file.") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{file} is too large", why=str(error), remedy="Make it smaller; 1024 pixels do.") from error
    # Damaged files make Pillow's decoders fail in many ways.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise ImageError(f"{file} cannot be read", why=str(error), remedy="Use a PNG, JPEG or WebP file.") from error


def to_rgb(picture: Image.Image) -> Image.Image:
    """Give a picture of any mode as RGBA where some of it may be transparent, else as RGB.

    Raises:
        ImageError: its pixels are numbers that are no brightness.
    """
    if max(picture.size) > _LARGEST_SIDE:
        picture = picture.reduce(-(-max(picture.size) // _LARGEST_SIDE))
    if picture.mode.startswith("I") or picture.mode == "F":
        return _from_numbers(picture)
    transparent = picture.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in picture.info
    return picture.convert("RGBA" if transparent else "RGB")


def isolate_object(
    picture: Image.Image,
    *,
    foreground_ratio: float = FOREGROUND_RATIO,
    remove_background: RemoveBackground | None = None,
) -> Image.Image:
    """Cut the object out, centre it, and lay it on grey.

    What is transparent is background. Where nothing is, something has to tell what is background first.

    Args:
        picture: mode RGB or RGBA.
        foreground_ratio: of the side of the result, how much the longer side of the object takes.
        remove_background: makes a picture's background transparent.

    Returns:
        mode RGB, square.

    Raises:
        ImageError: nothing is transparent and `remove_background` is None, or all is.
    """
    if not 0 < foreground_ratio <= 1:
        raise ImageError(
            f"a foreground ratio of {foreground_ratio} is not possible", remedy="Choose one above 0, up to 1."
        )
    if not _has_background(picture):
        if remove_background is None:
            raise ImageError(
                "the picture does not say what is background",
                why=f"Nothing in it is transparent (mode {picture.mode}), and rembg is not installed to find out.",
                remedy="pip install rembg, use a picture with a transparent background, or take the picture as it is "
                "with --no-remove-bg.",
            )
        picture = to_rgb(remove_background(picture))
    return _on_grey(_padded(_cropped(np.asarray(picture.convert("RGBA"))), foreground_ratio))


def find_background_remover() -> RemoveBackground | None:
    """Give rembg's removal of backgrounds, or None where rembg is not installed."""
    try:
        import rembg  # noqa: PLC0415 - slow, and optional
    except ImportError:
        return None

    def remove(picture: Image.Image) -> Image.Image:
        try:
            return rembg.remove(picture)
        # It fetches its weights when first called and runs them with another library; either may fail anyhow.
        except Exception as error:
            raise ImageError(
                "rembg could not remove the background",
                why=str(error),
                remedy="Use a picture with a transparent background, or --no-remove-bg.",
            ) from error

    return remove


def to_tensor(picture: Image.Image, size: int) -> Tensor:
    """Give a picture as the network takes it: bilinear with antialiasing to size x size, whatever its sides were.

    Args:
        picture: mode RGB.
        size: the config's `cond_image_size`.

    Returns:
        (3, size, size) in 0..1, float32.
    """
    pixels = torch.from_numpy(np.asarray(picture.convert("RGB")).astype(np.float32) / _BYTE)
    return functional.interpolate(
        pixels.movedim(-1, 0)[None], (size, size), mode="bilinear", align_corners=False, antialias=True
    )[0]


def _from_numbers(picture: Image.Image) -> Image.Image:
    """Give a picture of 16-bit integers, or of floats in 0..1, as grey."""
    values = np.asarray(picture).astype(np.float64)
    largest = 1.0 if picture.mode == "F" else float(_SIXTEEN_BITS)
    if not np.isfinite(values).all() or values.min(initial=0) < 0 or values.max(initial=0) > largest:
        raise ImageError(
            f"the picture's numbers are no brightness between 0 and {largest:g}",
            why=f"mode {picture.mode}, from {values.min()} to {values.max()}",
            remedy="Save it as RGB with 8 bits.",
        )
    return Image.fromarray(np.rint(values / largest * _BYTE).astype(np.uint8)).convert("RGB")


def _has_background(picture: Image.Image) -> bool:
    return picture.mode == "RGBA" and picture.getchannel("A").getextrema()[0] < _BYTE


def _cropped(pixels: np.ndarray) -> np.ndarray:
    """Cut (H, W, 4) to what is not wholly transparent.

    As in the original, the last row and column of it are left out, where there are others.
    """
    rows, columns = (np.flatnonzero((pixels[..., 3] > 0).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise ImageError(
            "the picture shows no object",
            why="All of it is transparent.",
            remedy="Use another picture, or --no-remove-bg if the background was removed here.",
        )
    (top, bottom), (left, right) = ((span[0], max(span[-1], span[0] + 1)) for span in (rows, columns))
    return pixels[top:bottom, left:right]


def _padded(pixels: np.ndarray, foreground_ratio: float) -> np.ndarray:
    """Put (H, W, 4) into the middle of a transparent square, the longer side being `foreground_ratio` of its side."""
    inner = max(pixels.shape[:2])
    outer = max(int(inner / foreground_ratio), inner)
    square = np.zeros((outer, outer, 4), dtype=pixels.dtype)
    # Centred in the smaller square, and that one in the larger: rounding twice, as the original does.
    top, left = ((outer - inner) // 2 + (inner - side) // 2 for side in pixels.shape[:2])
    square[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return square


def _on_grey(pixels: np.ndarray) -> Image.Image:
    """Lay (H, W, 4) on grey; what falls between two values of a byte becomes the lower one."""
    colours = pixels.astype(np.float32) / _BYTE
    alpha = colours[..., 3:]
    mixed = colours[..., :3] * alpha + (1 - alpha) * BACKGROUND
    return Image.fromarray((mixed * _BYTE).astype(np.uint8))
