from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra triposr")

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cudawheel.errors import ImageError
from cudawheel.triposr import picture
from cudawheel.triposr.picture import find_background_remover, isolate_object, read_picture, to_tensor

RED = (255, 0, 0)
GREY = (127, 127, 127)


def on_nothing(size: tuple[int, int], box: tuple[int, int, int, int], colour=RED) -> Image.Image:
    """A rectangle of one colour, the rest transparent; box is left, top, right, bottom, both ends within it."""
    made = Image.new("RGBA", size, (0, 0, 0, 0))
    left, top, right, bottom = box
    made.paste((*colour, 255), (left, top, right + 1, bottom + 1))
    return made


def saved(folder: Path, made: Image.Image, name: str = "picture.png", **options: object) -> Path:
    made.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize(
    ("mode", "colour", "name", "expected"),
    [
        ("RGB", RED, "a.png", ("RGB", RED)),
        ("RGB", RED, "a.bmp", ("RGB", RED)),
        ("RGBA", (255, 0, 0, 9), "a.png", ("RGBA", (255, 0, 0, 9))),
        ("L", 77, "a.png", ("RGB", (77, 77, 77))),
        ("LA", (77, 9), "a.png", ("RGBA", (77, 77, 77, 9))),
        ("1", 1, "a.png", ("RGB", (255, 255, 255))),
        ("I;16", 257 * 77, "a.png", ("RGB", (77, 77, 77))),
        ("I", 257 * 77, "a.tif", ("RGB", (77, 77, 77))),
        ("F", 77 / 255, "a.tif", ("RGB", (77, 77, 77))),
        ("CMYK", (0, 255, 255, 0), "a.tif", ("RGB", RED)),
        ("P", 0, "a.png", ("RGB", (0, 0, 0))),
    ],
)
def test_any_kind_of_picture_is_read(tmp_path: Path, mode: str, colour, name: str, expected) -> None:
    read = read_picture(saved(tmp_path, Image.new(mode, (3, 2), colour), name))
    assert (read.mode, read.size) == (expected[0], (3, 2))
    assert read.getpixel((2, 1)) == expected[1]


def test_a_cmyk_jpeg_is_read(tmp_path: Path) -> None:
    read = read_picture(saved(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "a.jpg"))
    assert read.mode == "RGB"
    assert read.getpixel((8, 8)) == pytest.approx(RED, abs=6)


def test_a_palette_with_a_transparent_colour_says_what_is_background(tmp_path: Path) -> None:
    made = Image.new("P", (4, 4), 0)
    made.putpalette([0, 0, 0, 255, 0, 0])
    made.putpixel((1, 1), 1)
    read = read_picture(saved(tmp_path, made, transparency=0))
    assert read.mode == "RGBA"
    assert (read.getpixel((0, 0))[3], read.getpixel((1, 1))) == (0, (255, 0, 0, 255))


def test_a_picture_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    read = read_picture(saved(tmp_path, Image.new("RGB", (4, 2), RED), "a.jpg", exif=exif))
    assert read.size == (2, 4)


def test_a_large_picture_is_read_smaller(tmp_path: Path, monkeypatch) -> None:
    # So large that Pillow warns.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9000 * 20 - 1)
    read = read_picture(saved(tmp_path, Image.new("L", (9000, 20), 50)))
    assert read.size == (3000, 7)
    assert read.getpixel((2999, 3)) == (50, 50, 50)


def test_a_picture_that_is_not_safe_to_unpack_is_an_error(tmp_path: Path, monkeypatch) -> None:
    file = saved(tmp_path, Image.new("L", (300, 200), 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="too large"):
        read_picture(file)


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0", b"P6\n9 9\n255\n"]
)
def test_what_is_no_picture_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.png"):
        read_picture(tmp_path / "a.png")


def test_a_truncated_picture_is_an_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name in ("a.png", "a.jpg", "a.tif", "a.webp"):
        file = saved(tmp_path, Image.fromarray(noise), name)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(ImageError, match=r"cannot be read|no image"):
            read_picture(file)


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    for file in (tmp_path / "absent.png", tmp_path):
        with pytest.raises(ImageError, match="cannot be read"):
            read_picture(file)


@pytest.mark.parametrize("value", [float("nan"), 300.0, -0.5])
def test_floats_that_are_no_brightness_are_an_error(tmp_path: Path, value: float) -> None:
    file = saved(tmp_path, Image.new("F", (2, 2), value), "a.tif")
    with pytest.raises(ImageError, match="no brightness between 0 and 1"):
        read_picture(file)


def test_the_object_is_centred_and_takes_its_part() -> None:
    made = np.asarray(isolate_object(on_nothing((200, 100), (20, 10, 104, 60))))
    # 85 x 51 pixels, of which the last column and row are left out as in the original: 84 / 0.85 is 98.
    assert made.shape == (98, 98, 3)
    rows, columns = np.nonzero((made == RED).all(axis=-1))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (7, 90, 24, 73)
    assert (made[0, 0] == GREY).all()


def test_half_transparent_pixels_are_mixed_with_grey() -> None:
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    mixed = np.asarray(isolate_object(half, foreground_ratio=1))
    expected = tuple(int(255 * (colour * (128 / 255) + 0.5 * (1 - 128 / 255))) for colour in (1, 0, 0))
    assert (mixed == expected).all()


@pytest.mark.parametrize("ratio", [0.3, 0.85, 1])
@pytest.mark.parametrize("box", [(0, 0, 0, 0), (5, 5, 5, 9), (2, 3, 9, 3), (0, 0, 9, 9)])
def test_an_object_of_any_size_is_isolated(ratio: float, box: tuple[int, int, int, int]) -> None:
    made = isolate_object(on_nothing((11, 11), box), foreground_ratio=ratio)
    assert made.width == made.height
    assert RED in {colour for _, colour in made.getcolors()}


@given(width=st.integers(1, 40), height=st.integers(1, 40), ratio=st.floats(0.05, 1), left=st.integers(0, 9))
def test_the_object_lies_in_the_middle(width: int, height: int, ratio: float, left: int) -> None:
    made = np.asarray(isolate_object(on_nothing((60, 60), (left, 3, left + width, 3 + height)), foreground_ratio=ratio))
    assert made.shape[0] == made.shape[1] == max(int(max(width, height) / ratio), 1)
    for line, side in zip(np.nonzero((made == RED).all(axis=-1)), (height, width), strict=True):
        assert line.max() - line.min() + 1 == side
        assert abs(line.min() - (made.shape[0] - 1 - line.max())) <= 2


@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_an_empty_picture_is_an_error(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="shows no object"):
        isolate_object(Image.new("RGBA", size, (9, 9, 9, 0)))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_where_nothing_tells_the_background_it_is_an_error(mode: str) -> None:
    with pytest.raises(ImageError, match="does not say what is background") as caught:
        isolate_object(Image.new(mode, (4, 4), RED))
    assert "--no-remove-bg" in caught.value.remedy


@pytest.mark.parametrize("ratio", [0, -1, 1.01, float("nan"), float("inf")])
def test_an_impossible_ratio_is_an_error(ratio: float) -> None:
    with pytest.raises(ImageError, match="foreground ratio"):
        isolate_object(on_nothing((9, 9), (1, 1, 5, 5)), foreground_ratio=ratio)


def test_the_background_is_removed_only_where_the_picture_does_not_say_it() -> None:
    asked: list[str] = []

    def remove(it: Image.Image) -> Image.Image:
        asked.append(it.mode)
        return on_nothing(it.size, (2, 2, 6, 6))

    opaque = isolate_object(Image.new("RGB", (10, 10), RED), remove_background=remove)
    assert asked == ["RGB"]
    said = isolate_object(on_nothing((10, 10), (2, 2, 6, 6)), remove_background=remove)
    assert asked == ["RGB"]
    assert opaque == said


def test_a_background_removed_altogether_is_an_error() -> None:
    with pytest.raises(ImageError, match="shows no object"):
        isolate_object(
            Image.new("RGB", (10, 10), RED), remove_background=lambda it: Image.new("RGBA", it.size, (0, 0, 0, 0))
        )


def test_rembg_is_used_where_it_is_installed(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "rembg", None)
    assert find_background_remover() is None
    rembg = types.ModuleType("rembg")
    rembg.remove = lambda it: on_nothing(it.size, (1, 1, 3, 3))
    monkeypatch.setitem(sys.modules, "rembg", rembg)
    remove = find_background_remover()
    assert remove is not None
    assert remove(Image.new("RGB", (5, 5))).mode == "RGBA"


def test_a_failure_of_rembg_is_an_error_of_ours(monkeypatch) -> None:
    def fail(_it: Image.Image) -> Image.Image:
        raise ConnectionError("no weights")

    rembg = types.ModuleType("rembg")
    rembg.remove = fail
    monkeypatch.setitem(sys.modules, "rembg", rembg)
    remove = find_background_remover()
    assert remove is not None
    with pytest.raises(ImageError, match="rembg could not remove") as caught:
        remove(Image.new("RGB", (5, 5)))
    assert caught.value.why == "no weights"


@pytest.mark.parametrize("size", [(1, 1), (2, 700), (96, 96), (1000, 3)])
def test_the_network_gets_a_square_of_its_size(size: tuple[int, int]) -> None:
    tensor = to_tensor(Image.new("RGB", size, (255, 51, 0)), 96)
    assert tensor.shape == (3, 96, 96)
    assert tensor.dtype == torch.float32
    assert torch.allclose(tensor, torch.tensor([1, 0.2, 0])[:, None, None].expand(-1, 96, 96), atol=1e-6)


def test_fine_stripes_become_grey_and_no_pattern() -> None:
    stripes = np.zeros((768, 768, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    tensor = to_tensor(Image.fromarray(stripes), 96)
    assert float((tensor - 0.5).abs()[..., 2:-2].max()) < 0.05


def test_grey_is_where_the_original_has_it() -> None:
    assert picture.BACKGROUND == 0.5
    assert (np.asarray(isolate_object(on_nothing((9, 9), (2, 2, 6, 6)), foreground_ratio=0.5))[0, 0] == GREY).all()
