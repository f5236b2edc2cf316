"""`cudawheel reconstruct`, on fitted scenes and on a small network with random weights."""

from __future__ import annotations

import builtins
import io
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from command_line import run_main

torch = pytest.importorskip("torch", reason="needs the extra triposr")
pytest.importorskip("skimage", reason="needs scikit-image, the reference for marching cubes")

import numpy as np
import reference_cubes
from PIL import Image
from rich.console import Console

from cudawheel import files
from cudawheel.cli import reconstruct
from cudawheel.cli.reconstruction_display import Display
from cudawheel.triposr import reconstruction
from cudawheel.triposr.portrait import portrait
from cudawheel.triposr.scene import scene_names

TINY = Path(__file__).parents[2] / "data" / "triposr-tiny"
# Random weights know no objects: of the density that they give, some is above and some below this.
THRESHOLD = "0.37"
SMALL = ("--resolution", "24", "--no-picture", "--device", "cpu")

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Run the command in this process, in an empty folder; gives exit code, standard output and standard error."""
    monkeypatch.setattr("signal.signal", lambda *_words: None)
    monkeypatch.setattr("cudawheel.cli.console.out.width", 200)
    monkeypatch.chdir(tmp_path)
    reference_cubes.install(monkeypatch)

    def call_(*words: str | Path) -> tuple[int, str, str]:
        return run_main(capsys, monkeypatch, "reconstruct", *words)

    return call_


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of an object whose background is transparent."""
    pixels = np.zeros((60, 50, 4), dtype=np.uint8)
    pixels[10:50, 12:40] = [200, 90, 30, 255]
    file = tmp_path / "object.png"
    Image.fromarray(pixels).save(file)
    return file


def network_words(*more: str | Path) -> tuple[str | Path, ...]:
    return ("--model", TINY, "--threshold", THRESHOLD, *SMALL, *more)


def opened(file: str | Path) -> Image.Image:
    with Image.open(file) as picture:
        picture.load()
        return picture


def refused(done: tuple[int, str, str], code: int, *said: str) -> None:
    """An error: its code, nothing on standard output, what and the remedy on standard error, and no folder."""
    found, out, err = done
    assert (found, out) == (code, ""), err
    assert "Traceback" not in err
    assert f"exit {code})" in err
    assert "→ " in err
    for text in said:
        assert text in err
    assert not Path("output").exists()


def test_a_scene_gives_a_mesh_and_a_picture(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    # A smaller picture than is drawn for people, which takes seconds.
    monkeypatch.setattr(reconstruction, "portrait", partial(portrait, side=200))
    monkeypatch.setattr("cudawheel.triposr.portrait._MAP_SIDE", 200)
    code, out, err = call("--scene", "chair", "-o", "out", "--resolution", "32", "--device", "cpu")
    assert code == 0, err
    assert sorted(file.name for file in Path("out").iterdir()) == ["mesh.obj", "picture.png"]
    lines = Path("out/mesh.obj").read_text().splitlines()
    assert {line.split()[0] for line in lines} == {"v", "f"}
    pixels = np.asarray(opened("out/picture.png").convert("RGB")).astype(int)
    assert (pixels[..., 0] > 2 * pixels[..., 1]).mean() > 0.03, "the seat is red"
    for word in ("density", "marching cubes", "colours", "mesh file", "picture", "writing", "all", "out/mesh.obj"):
        assert word in out
    assert "computing on the CPU" in err


def test_json_says_what_was_made_and_how_long_each_stage_took(call: Call) -> None:
    code, out, _ = call("--scene", "torus", "--json", *SMALL)
    assert code == 0
    said = json.loads(out)
    [made] = said["results"]
    assert said["device"] == "cpu"
    assert list(said["loading"]) == ["scene"]
    assert list(made["seconds"]) == ["density", "marching cubes", "colours", "mesh file", "writing"]
    assert min(made["seconds"].values()) > 0
    assert made["files"] == ["mesh.obj"]
    text = Path(made["folder"], "mesh.obj").read_text()
    assert text.count("v ") == made["vertices"]
    assert text.count("f ") == made["faces"]


@pytest.mark.parametrize("kind", ["glb", "ply"])
def test_other_formats(kind: str, call: Call) -> None:
    code, _, err = call("--scene", "torus", "--format", kind, *SMALL)
    assert code == 0, err
    begin = {"glb": b"glTF", "ply": b"ply"}[kind]
    assert Path("output", f"mesh.{kind}").read_bytes().startswith(begin)


def test_each_picture_gets_a_folder_with_what_the_network_saw(call: Call, picture: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    opened(picture).transpose(Image.Transpose.ROTATE_90).save(other)
    code, out, err = call(picture, other, "-o", "out", "--json", *network_words())
    assert code == 0, err
    said = json.loads(out)
    assert list(said["loading"]) == ["pictures", "weights"]
    assert [made["source"] for made in said["results"]] == [str(picture), str(other)]
    assert [made["folder"] for made in said["results"]] == ["out/0", "out/1"]
    for made in said["results"]:
        assert made["files"] == ["mesh.obj", "input.png"]
        assert next(iter(made["seconds"])) == "network"
        assert all(Path(made["folder"], name).is_file() for name in made["files"])
    # 39 of its 40 rows are 0.85 of the side; what is around is grey.
    seen = opened("out/0/input.png")
    assert (seen.size, seen.getpixel((0, 0))) == ((45, 45), (127, 127, 127))
    assert Path("out/0/mesh.obj").read_bytes() != Path("out/1/mesh.obj").read_bytes()


def test_a_picture_is_taken_as_it_is_where_that_is_asked_for(call: Call, picture: Path) -> None:
    code, _, err = call(picture, "--no-remove-bg", *network_words())
    assert code == 0, err
    assert opened("output/0/input.png").size == (50, 60)


def test_a_texture(call: Call) -> None:
    pytest.importorskip("xatlas", reason="needs the extra triposr-texture")
    code, out, err = call("--scene", "torus", "--bake-texture", "--texture-resolution", "128", *SMALL, "--json")
    assert code == 0, err
    assert json.loads(out)["results"][0]["files"] == ["mesh.obj", "mesh.mtl", "mesh.png"]
    assert "map_Kd mesh.png" in Path("output/mesh.mtl").read_text()
    assert opened("output/mesh.png").size == (128, 128)


def test_a_turntable(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    original = reconstruction.render_turntable
    monkeypatch.setattr(reconstruction, "render_turntable", lambda field, **words: original(field, side=24, **words))
    code, _, err = call("--scene", "torus", "--views", "3", *SMALL, "--render", "turntable")
    assert code == 0, err
    with Image.open("output/render.gif") as moving:
        assert (moving.n_frames, moving.size) == (3, (24, 24))
    assert [opened(f"output/render_{number:03}.png").size for number in range(3)] == [(24, 24)] * 3


def test_chunks_of_any_size_give_the_same_mesh(call: Call) -> None:
    texts = []
    for size in ("0", "1000", "7"):
        assert call("--scene", "torus", "--chunk-size", size, *SMALL, "-o", size)[0] == 0
        texts.append(np.array(Path(size, "mesh.obj").read_text().split()))
    assert [text.shape for text in texts] == [texts[0].shape] * 3
    numbers = texts[0] != "v"
    numbers &= texts[0] != "f"
    for text in texts[1:]:
        assert np.abs(text[numbers].astype(float) - texts[0][numbers].astype(float)).max() < 2e-4


def test_what_was_there_before_is_replaced(call: Call) -> None:
    Path("output").mkdir()
    Path("output/mesh.obj").write_text("old")
    Path("output/mine.txt").write_text("kept")
    assert call("--scene", "torus", *SMALL)[0] == 0
    assert Path("output/mesh.obj").read_text().startswith("v ")
    assert Path("output/mine.txt").read_text() == "kept"


def test_the_old_spellings_of_options(call: Call, picture: Path) -> None:
    words = ["--pretrained-model-name-or-path", TINY, "--mc-resolution", "16", "--output-dir", "out"]
    words += ["--model-save-format", "ply", "--threshold", THRESHOLD, "--no-picture", "--device", "cpu"]
    assert call(picture, *words)[0] == 0
    assert Path("out/0/mesh.ply").is_file()


def test_neither_a_picture_nor_a_scene(call: Call) -> None:
    refused(call(), 2, "nothing to make a mesh of", "--scene chair")


def test_a_picture_and_a_scene(call: Call, picture: Path) -> None:
    refused(call(picture, "--scene", "chair"), 2, "too much at once")


def test_a_scene_that_does_not_exist(call: Call) -> None:
    refused(call("--scene", "sofa", *SMALL), 2, "'sofa'", *scene_names())


def test_a_texture_in_a_ply(call: Call) -> None:
    refused(call("--scene", "chair", "--format", "ply", "--bake-texture", *SMALL), 2, "PLY", "--bake-texture")


@pytest.mark.parametrize(
    "words",
    [
        ["--resolution", "1"],
        ["--format", "stl"],
        ["--foreground-ratio", "0"],
        ["--chunk-size", "-1"],
        ["--render", "video"],
        ["--views", "0"],
        ["--texture-resolution", "no"],
    ],
)
def test_options_out_of_range(words: list[str], call: Call) -> None:
    code, out, err = call("--scene", "chair", *words)
    assert (code, out) == (2, "")
    assert words[0] in err


@pytest.mark.parametrize(
    ("module", "package"), [("torch", "torch"), ("PIL", "pillow"), ("yaml", "pyyaml"), ("safetensors", "safetensors")]
)
def test_an_extra_that_is_not_installed(module: str, package: str, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    find = reconstruct.importlib.util.find_spec
    monkeypatch.setattr(reconstruct.importlib.util, "find_spec", lambda name: None if name == module else find(name))
    refused(call("--scene", "chair"), 30, package, "pip install", "[triposr]")


def test_a_package_that_cannot_be_imported(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def broken(name: str, *words: Any, **more: Any) -> Any:
        if name == "cudawheel.triposr.device":
            raise ImportError("libcudart.so.13: cannot open shared object file")
        return real(name, *words, **more)

    monkeypatch.setattr(builtins, "__import__", broken)
    refused(call("--scene", "chair"), 30, "libcudart.so.13")


def test_weights_that_are_not_there(call: Call, picture: Path, tmp_path: Path) -> None:
    refused(call(picture, "--model", tmp_path, *SMALL), 31, "holds no weights")


def test_a_picture_that_is_not_there(call: Call, tmp_path: Path) -> None:
    refused(call(tmp_path / "gone.png", *network_words()), 32, "gone.png", "cannot be read")


def test_a_file_that_is_no_picture(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    refused(call(tmp_path / "text.png", *network_words()), 32, "text.png is no image")


def test_a_picture_that_is_wholly_transparent(call: Call, picture: Path, tmp_path: Path) -> None:
    """The good one beside it is not begun with."""
    Image.new("RGBA", (20, 20)).save(tmp_path / "empty.png")
    refused(call(picture, tmp_path / "empty.png", *network_words()), 32, "empty.png: the picture shows no object")


def test_a_picture_without_background_where_nothing_can_tell_it(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rembg", None)
    Image.new("RGB", (20, 20)).save(tmp_path / "full.png")
    refused(call(tmp_path / "full.png", *network_words()), 32, "full.png:", "rembg", "--no-remove-bg")


def test_a_picture_of_one_pixel(call: Call, tmp_path: Path) -> None:
    Image.new("RGBA", (1, 1), (200, 0, 0, 128)).save(tmp_path / "dot.png")
    code, _, err = call(tmp_path / "dot.png", *network_words())
    assert code == 0, err


def test_a_gpu_that_is_not_there(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(call("--scene", "chair", "--device", "cuda:99"), 33, "cuda:99 cannot be used", "--device")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(reconstruct, "visible_gpus", lambda: ("12.0",))
    refused(call("--scene", "chair"), 33, "a GPU that PyTorch does not see", "--device cpu")


def test_without_any_gpu_the_cpu_is_taken_and_that_is_said(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(reconstruct, "visible_gpus", lambda: ())
    code, _, err = call("--scene", "torus", "--resolution", "16", "--no-picture")
    assert code == 0
    assert "computing on the CPU" in err


@pytest.mark.parametrize("stage", ["extract_mesh", "load_network"])
def test_memory_that_does_not_suffice(stage: str, call: Call, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_words: Any, **_more: Any) -> None:
        with reconstruction.Stages(torch.device("cpu"))("weights"):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(reconstruction, stage, full)
    code, _, err = call(picture, *network_words())
    assert code == 34
    assert "2.00 GiB" in err
    assert "--chunk-size" in err
    assert not Path("output").exists()


def test_portions_that_become_smaller_are_told_of(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    original, failures = torch.nn.functional.silu, iter([True, True])

    def silu(*words: Any, **more: Any) -> Any:
        if next(failures, False):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return original(*words, **more)

    monkeypatch.setattr(torch.nn.functional, "silu", silu)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    code, _, err = call(
        "--scene", "torus", "--resolution", "32", "--no-picture", "--device", "cpu", "--chunk-size", "20480"
    )
    assert code == 0, err
    assert [line.rpartition(" ")[2] for line in err.splitlines() if "going on with" in line] == ["10240", "5120"]


def test_densities_that_are_not_finite(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    original = reconstruction.load_scene

    def load(name: str, **words: Any) -> Any:
        scene = original(name, **words)
        scene.planes[0, 0, 5, 5] = float("nan")
        return scene

    monkeypatch.setattr(reconstruction, "load_scene", load)
    refused(call("--scene", "torus", *SMALL), 35, "not finite")


@pytest.mark.parametrize(("threshold", "side"), [("1e30", "empty"), ("-1", "full")])
def test_a_scene_without_a_surface(threshold: str, side: str, call: Call) -> None:
    refused(call("--scene", "torus", "--threshold", threshold, *SMALL), 36, side)


def test_of_several_pictures_the_one_without_a_surface_does_not_hold_up_the_others(
    call: Call, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, numbers = reconstruction.scene_code, iter(range(9))

    def codes(*words: Any) -> Any:
        return original(*words) * (0 if next(numbers) == 1 else 1)

    monkeypatch.setattr(reconstruction, "scene_code", codes)
    code, out, err = call(picture, picture, picture, *network_words(), "--json")
    said = json.loads(out)["results"]
    assert code == 36, err
    assert [made.get("folder") for made in said] == ["output/0", "output/2", None]
    assert said[-1]["error"]["exit_code"] == 36
    assert sorted(folder.name for folder in Path("output").iterdir()) == ["0", "2"]


def test_marching_cubes_that_are_not_installed(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmcubes", None)
    refused(call("--scene", "chair", *SMALL), 37, "torchmcubes is not installed", "cudawheel build")


def test_a_folder_that_cannot_be_written(call: Call) -> None:
    Path("taken").write_text("a file")
    refused(call("--scene", "torus", *SMALL, "-o", "taken"), 18, "taken cannot be written", "--output")
    assert Path("taken").read_text() == "a file"


def test_a_disk_that_is_full_keeps_nothing(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_words: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fdopen", full)
    code, out, err = call("--scene", "torus", *SMALL)
    assert (code, out) == (19, "")
    assert "--output" in err
    assert list(Path("output").iterdir()) == []


def test_a_terminal_sees_one_bar_that_moves() -> None:
    screen = Console(force_terminal=True, width=100, record=True, file=io.StringIO())
    with Display(screen) as display:
        display.stage("density")
        display.progress(1, 4)
        display.stage("colours")
        display.progress(3, 4)
        [bar] = display._bars.tasks
        assert (bar.description, bar.completed, bar.total) == ("colours", 3, 4)
        display.tell("cuda has no memory for [64] points")
    assert "no memory for [64] points" in screen.export_text()


def test_a_log_gets_a_line_a_stage_and_one_now_and_then() -> None:
    log = Console(force_terminal=False, width=100, record=True, file=io.StringIO())
    now = iter([0.0, 1.0, 11.0, 11.0, 12.0])
    with Display(log, clock=lambda: next(now)) as display:
        display.stage("density")
        display.progress(1, 8)
        display.progress(2, 8)
        display.progress(3, 8)
    assert log.export_text().splitlines() == ["density", "density 25%"]
