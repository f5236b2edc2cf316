"""From pictures, or from a fitted scene, to files: the stages in the order in which they run."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from cudawheel.errors import CudawheelError, ImageError
from cudawheel.triposr.checkpoint import PUBLISHED_ID, find_checkpoint, load_network
from cudawheel.triposr.field import TriplaneField
from cudawheel.triposr.mesh import Mesh, extract_mesh
from cudawheel.triposr.mesh_files import mesh_files, require_format
from cudawheel.triposr.network import TripoSR
from cudawheel.triposr.picture import (
    FOREGROUND_RATIO,
    RemoveBackground,
    find_background_remover,
    isolate_object,
    read_picture,
    to_tensor,
)
from cudawheel.triposr.portrait import portrait
from cudawheel.triposr.precision import full_float32
from cudawheel.triposr.render import render_turntable
from cudawheel.triposr.scene import load_scene
from cudawheel.triposr.stages import Stages
from cudawheel.triposr.surface import SURFACE_DENSITY, MarchingCubes
from cudawheel.triposr.texture import TEXTURE_RESOLUTION, bake_texture

RESOLUTION = 256

_FRAME_MILLISECONDS = 100

Write = Callable[[Path, Mapping[str, bytes]], None]
"""Writes files, by their names, into a folder: all of them or none."""


class Listener(Protocol):
    """Whoever wants to know how far it is."""

    def stage(self, name: str) -> None:
        """Hear that a stage begins."""

    def progress(self, done: int, total: int) -> None:
        """Hear how much of the stage is done."""

    def tell(self, sentence: str) -> None:
        """Hear something that the reader should know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be made of a field.

    Attributes:
        resolution: points of the grid a direction.
        threshold: the density on the surface.
        chunk_size: points at a time; by default as many as memory allows.
        kind: the mesh's format, one of `cudawheel.triposr.mesh_files.FORMATS`.
        texture: whether colours get into a texture instead of to the vertices.
        texture_resolution: texels of its side.
        views: pictures of a turntable; none where 0.
        picture: whether a picture of the mesh is drawn.
    """

    resolution: int = RESOLUTION
    threshold: float = SURFACE_DENSITY
    chunk_size: int | None = None
    kind: str = "obj"
    texture: bool = False
    texture_resolution: int = TEXTURE_RESOLUTION
    views: int = 0
    picture: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRequest:
    """Which pictures to look at, and how.

    Attributes:
        files: the pictures.
        model: folder or hub id of the weights.
        revision: of the hub's repository.
        remove_background: whether the object is cut out; otherwise pictures are taken as they are.
        foreground_ratio: of the side of what the network sees, how much the object takes.
    """

    files: tuple[Path, ...]
    model: str = PUBLISHED_ID
    revision: str | None = None
    remove_background: bool = True
    foreground_ratio: float = FOREGROUND_RATIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """What was made of one picture or scene.

    Attributes:
        source: the picture's file or the scene's name.
        folder: where the files are.
        files: their names, the mesh's first.
        vertices: of the mesh.
        faces: of the mesh.
        seconds: each stage took, in the order in which they ran.
    """

    source: str
    folder: Path
    files: tuple[str, ...]
    vertices: int
    faces: int
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A picture of which nothing could be made, and why."""

    source: str
    error: CudawheelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """With what is worked, and who listens.

    Attributes:
        device: where the network and its field are computed.
        marching_cubes: the kernel.
        write: puts files into a folder.
        listener: hears of stages and progress.
    """

    device: torch.device
    marching_cubes: MarchingCubes
    write: Write
    listener: Listener

    def stages(self) -> Stages:
        """Give a measure of stages that tells of them."""
        return Stages(self.device, self.listener.stage)


def from_scene(name: str, folder: Path, wanted: Wanted, studio: Studio) -> tuple[Reconstruction, dict[str, float]]:
    """Make a fitted scene's files.

    Args:
        name: of the scene.
        folder: where the files get.
        wanted: which files.
        studio: with what.

    Returns:
        what was made, and the seconds that loading took.

    Raises:
        CudawheelError: something of it is not possible; nothing is written then.
    """
    require_format(wanted.kind, textured=wanted.texture)
    loading = studio.stages()
    with loading("scene"):
        field = load_scene(name, device=studio.device).field
    return _made(field, name, folder, wanted, studio, stages=studio.stages(), files={}), loading.seconds


def from_pictures(
    request: PictureRequest, folder: Path, wanted: Wanted, studio: Studio
) -> tuple[Iterator[Reconstruction | Failure], dict[str, float]]:
    """Make meshes of pictures.

    All pictures are read before the network is loaded, so that one that cannot be used is told of at once. Later on
    one of which nothing can be made does not hold up the others.

    Args:
        request: which pictures and weights.
        folder: gets a folder for each picture: 0, 1, 2 and so on.
        wanted: which files.
        studio: with what.

    Returns:
        what was made of each, one after the other, and the seconds that loading took.

    Raises:
        CheckpointError: the weights cannot be used.
        DeviceMemoryError: they do not fit.
        ImageError: a picture cannot be used.
        UsageError: the format cannot hold what is wanted.
    """
    require_format(wanted.kind, textured=wanted.texture)
    loading = studio.stages()
    with loading("pictures"):
        prepared = list(_prepared(request, studio.listener))
    with loading("weights"):
        files = find_checkpoint(request.model, revision=request.revision)
        network = load_network(files, device=studio.device)
    return _each(prepared, network, folder, wanted, studio), loading.seconds


def _prepared(request: PictureRequest, listener: Listener) -> Iterator[tuple[Path, Image.Image]]:
    remover = find_background_remover() if request.remove_background else None
    for number, file in enumerate(request.files, start=1):
        try:
            yield file, _as_seen(read_picture(file), request, remover)
        except ImageError as error:
            if str(file) in error.what:
                raise
            raise ImageError(f"{file}: {error.what}", why=error.why, remedy=error.remedy) from error
        listener.progress(number, len(request.files))


def _as_seen(picture: Image.Image, request: PictureRequest, remover: RemoveBackground | None) -> Image.Image:
    if not request.remove_background:
        return picture.convert("RGB")
    return isolate_object(picture, foreground_ratio=request.foreground_ratio, remove_background=remover)


def _each(
    prepared: Iterable[tuple[Path, Image.Image]], network: TripoSR, folder: Path, wanted: Wanted, studio: Studio
) -> Iterator[Reconstruction | Failure]:
    for number, (file, picture) in enumerate(prepared):
        stages = studio.stages()
        try:
            with stages("network"):
                field = network.field(scene_code(network, picture, studio.device))
            # What the network saw is kept beside what it made of it.
            seen = {"input.png": _png(picture)}
            outcome: Reconstruction | Failure = _made(
                field, str(file), folder / str(number), wanted, studio, stages=stages, files=seen
            )
        except CudawheelError as error:
            outcome = Failure(source=str(file), error=error)
        yield outcome


def scene_code(network: TripoSR, picture: Image.Image, device: torch.device) -> Tensor:
    """Give the scene code, (3, F, H, W), that a network makes of a picture of mode RGB."""
    seen = to_tensor(picture, network.config.cond_image_size).to(device)
    with torch.no_grad(), full_float32():
        code: Tensor = network(seen[None])[0]
    return code


def _made(
    field: TriplaneField,
    source: str,
    folder: Path,
    wanted: Wanted,
    studio: Studio,
    *,
    stages: Stages,
    files: Mapping[str, bytes],
) -> Reconstruction:
    """Make all files of a field, and write them once all are made."""
    listener = studio.listener
    with full_float32():
        mesh = extract_mesh(
            field,
            wanted.resolution,
            marching_cubes=studio.marching_cubes,
            threshold=wanted.threshold,
            chunk_size=wanted.chunk_size,
            progress=listener.progress,
            tell=listener.tell,
            stage=stages,
        )
        made = {**_mesh_files(mesh, field, wanted, studio, stages), **files}
        if wanted.picture:
            with stages("picture"):
                made["picture.png"] = _png(portrait(mesh))
        if wanted.views:
            with stages("turntable"):
                made |= _turntable(field, wanted, listener)
    with stages("writing"):
        studio.write(folder, made)
    return Reconstruction(
        source=source,
        folder=folder,
        files=tuple(made),
        vertices=len(mesh.vertices),
        faces=len(mesh.faces),
        seconds=stages.seconds,
    )


def _mesh_files(mesh: Mesh, field: TriplaneField, wanted: Wanted, studio: Studio, stages: Stages) -> dict[str, bytes]:
    texture = None
    if wanted.texture:
        with stages("texture"):
            texture = bake_texture(
                mesh,
                field,
                wanted.texture_resolution,
                chunk_size=wanted.chunk_size,
                progress=studio.listener.progress,
                tell=studio.listener.tell,
            )
    with stages("mesh file"):
        return mesh_files(mesh, wanted.kind, texture=texture)


def _turntable(field: TriplaneField, wanted: Wanted, listener: Listener) -> dict[str, bytes]:
    """Render the turntable: a PNG file for each view, and all of them as one that moves."""
    pictures = render_turntable(
        field, views=wanted.views, chunk_size=wanted.chunk_size, progress=listener.progress, tell=listener.tell
    )
    frames = [Image.fromarray(picture) for picture in pictures.numpy()]
    moving = io.BytesIO()
    frames[0].save(moving, format="GIF", save_all=True, append_images=frames[1:], duration=_FRAME_MILLISECONDS, loop=0)
    names = (f"render_{number:03}.png" for number in range(len(frames)))
    return {**dict(zip(names, map(_png, frames), strict=True)), "render.gif": moving.getvalue()}


def _png(picture: Image.Image) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, format="PNG")
    return sink.getvalue()
