"""`cudawheel reconstruct`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cudawheel.cli.reconstruction_display import Display, show_reconstructions
from cudawheel.errors import DeviceError, DiskFullError, ExtraMissingError, StoreError, UsageError
from cudawheel.files import disk_errors, write_together
from cudawheel.toolchain.gpus import visible_gpus

if TYPE_CHECKING:
    import torch

    from cudawheel.triposr.reconstruction import Failure, Reconstruction

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Modules without which nothing works, and the packages of the extra that bring them.
_NEEDED = {"torch": "torch", "numpy": "numpy", "PIL": "pillow", "safetensors": "safetensors", "yaml": "pyyaml"}

_RESOLUTION, _TEXTURE_RESOLUTION, _VIEWS = 256, 2048, 30


def _network_options(command: _Command) -> _Command:
    """Add what the network is to be given and where it runs."""
    options = (
        click.option(
            "--model",
            "--pretrained-model-name-or-path",
            "model",
            default="stabilityai/TripoSR",
            show_default=True,
            metavar="FOLDER|ID",
            help="The weights: a folder, or a repository on the Hugging Face hub.",
        ),
        click.option("--revision", metavar="NAME", help="Branch, tag or commit of that repository."),
        click.option("--no-remove-bg", is_flag=True, help="Take pictures as they are: square, the object on grey."),
        click.option(
            "--foreground-ratio",
            type=click.FloatRange(0, 1, min_open=True),
            default=0.85,
            show_default=True,
            help="Of the picture's side, how much the object takes once it is cut out.",
        ),
        click.option(
            "--device", metavar="NAME", help="cuda, cuda:1, cpu, …; default: the GPU, or the CPU without one."
        ),
    )
    return _all(options, command)


def _mesh_options(command: _Command) -> _Command:
    """Add what is to be made of a field."""
    size: dict[str, Any] = {"show_default": True, "metavar": "N"}
    options = (
        click.option(
            "--chunk-size", type=click.IntRange(min=0), metavar="N", help="Points at a time; default: by memory."
        ),
        click.option(
            "--resolution",
            "--mc-resolution",
            "resolution",
            type=click.IntRange(min=2),
            default=_RESOLUTION,
            help="Points of the marching cubes' grid in each direction.",
            **size,
        ),
        click.option("--threshold", type=float, default=25.0, show_default=True, help="Density on the surface."),
        click.option(
            "--format",
            "--model-save-format",
            "kind",
            type=click.Choice(["obj", "glb", "ply"]),
            default="obj",
            show_default=True,
            help="Of the mesh.",
        ),
        click.option("--bake-texture", is_flag=True, help="Put the colours into a texture instead of to the vertices."),
        click.option(
            "--texture-resolution",
            type=click.IntRange(min=16),
            default=_TEXTURE_RESOLUTION,
            help="Texels of the texture's side.",
            **size,
        ),
        click.option(
            "--render",
            type=click.Choice(["turntable"]),
            is_flag=False,
            flag_value="turntable",
            help="Render the field from all around, without a mesh: PNG files and a GIF.",
        ),
        click.option("--views", type=click.IntRange(min=1), default=_VIEWS, help="Pictures of the turntable.", **size),
        click.option("--no-picture", is_flag=True, help="Draw no picture of the mesh."),
    )
    return _all(options, command)


def _all(options: Iterable[Callable[[_Command], _Command]], command: _Command) -> _Command:
    for option in reversed(tuple(options)):
        command = option(command)
    return command


@click.command("reconstruct")
@click.argument("images", nargs=-1, type=click.Path(path_type=Path), metavar="[IMAGE]...")
@click.option("--scene", metavar="NAME", help="A fitted scene, which needs no download, instead: chair, gyroid, torus.")
@click.option(
    "--output",
    "--output-dir",
    "--out",
    "-o",
    "folder",
    type=click.Path(path_type=Path),
    default="output",
    show_default=True,
    help="Folder of the files; each picture has one of its own in it: 0, 1, 2 and so on.",
)
@_network_options
@_mesh_options
@click.option("--json", "as_json", is_flag=True, help="Print what was made, and how long each stage took, as JSON.")
def command(
    images: tuple[Path, ...],
    scene: str | None,
    folder: Path,
    device: str | None,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
    **words: Any,  # noqa: ANN401 - what the two groups of options say
) -> None:
    """Make a mesh of each picture with TripoSR, or of a fitted scene that comes with cudawheel.

    Where nothing can be made of one of several pictures, the others are made all the same, and the exit code is that
    of the first that failed.
    """
    if bool(images) == (scene is not None):
        raise UsageError(
            "pictures and a scene are too much at once" if images else "there is nothing to make a mesh of",
            remedy="Name pictures, or a fitted scene: cudawheel reconstruct --scene chair",
        )
    with _extra():
        found = _device(device)
        made, failures, loading = _results(images, scene, folder, found, words)
    show_reconstructions(made, failures, loading, device=str(found), as_json=as_json)
    if failures:
        raise failures[0].error


def _results(
    images: tuple[Path, ...], scene: str | None, folder: Path, device: torch.device, words: Mapping[str, Any]
) -> tuple[list[Reconstruction], list[Failure], dict[str, float]]:
    from cudawheel.triposr import reconstruction as room  # noqa: PLC0415 - torch is slow to import
    from cudawheel.triposr.surface import find_marching_cubes  # noqa: PLC0415

    wanted = room.Wanted(
        resolution=words["resolution"],
        threshold=words["threshold"],
        chunk_size=words["chunk_size"] or None,
        kind=words["kind"],
        texture=words["bake_texture"],
        texture_resolution=words["texture_resolution"],
        views=words["views"] if words["render"] else 0,
        picture=not words["no_picture"],
    )
    # Looked for first: without them minutes of work would be for nothing.
    kernel = find_marching_cubes(device)
    with Display() as display:
        if device.type == "cpu":
            display.tell("computing on the CPU: minutes at --resolution 256, seconds at 64; longer with --render")
        studio = room.Studio(device=device, marching_cubes=kernel, write=_write, listener=display)
        if scene is not None:
            made, loading = room.from_scene(scene, folder, wanted, studio)
            return [made], [], loading
        request = room.PictureRequest(
            files=images,
            model=words["model"],
            revision=words["revision"],
            remove_background=not words["no_remove_bg"],
            foreground_ratio=words["foreground_ratio"],
        )
        each, loading = room.from_pictures(request, folder, wanted, studio)
        results = list(each)
    failures = [result for result in results if isinstance(result, room.Failure)]
    return [result for result in results if isinstance(result, room.Reconstruction)], failures, loading


def _device(name: str | None) -> torch.device:
    """Find the device. The CPU is taken only where it is asked for, or where there is no GPU at all.

    Raises:
        DeviceError: it cannot be used, or none was named and PyTorch does not see the GPU that there is.
    """
    from cudawheel.triposr.device import find_device  # noqa: PLC0415 - torch is slow to import

    device = find_device(name)
    if name is None and device.type == "cpu" and visible_gpus():
        raise DeviceError(
            "this machine has a GPU that PyTorch does not see",
            why="Its driver is there; PyTorch is built without CUDA, or for another one.",
            remedy="Install a PyTorch that is built for this GPU, or choose the CPU with --device cpu.",
        )
    return device


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, all or none.

    Raises:
        DiskFullError: no space is left.
        StoreError: nothing can be written there.
    """
    try:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_together({folder / name: content for name, content in files.items()})
    except StoreError as error:
        kind = DiskFullError if isinstance(error, DiskFullError) else StoreError
        raise kind(error.what, why=error.why, remedy="Choose another folder with --output, or make room.") from error


@contextmanager
def _extra() -> Iterator[None]:
    """Say what is missing where the runner cannot be imported.

    Raises:
        ExtraMissingError: a package of the extra is not installed, or cannot be imported.
    """
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ExtraMissingError(
            "reconstruct needs packages that are not installed", why=", ".join(missing), extra="triposr"
        )
    try:
        yield
    except ImportError as error:
        raise ExtraMissingError(
            "a package that reconstruct needs cannot be imported",
            why=str(error),
            extra="triposr",
            otherwise="where it is installed, the same with --force-reinstall.",
        ) from error
