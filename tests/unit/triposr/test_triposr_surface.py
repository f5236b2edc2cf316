from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra triposr")
pytest.importorskip("skimage", reason="needs scikit-image, the reference for marching cubes")

from reference_cubes import install, marching_cubes
from torch import Tensor

from cudawheel.errors import DeviceMemoryError, FieldError, MarchingCubesError, SurfaceError
from cudawheel.triposr.mesh import extract_mesh
from cudawheel.triposr.scene import load_scene
from cudawheel.triposr.score import enclosed_volume, is_watertight
from cudawheel.triposr.stages import Stages
from cudawheel.triposr.surface import extract_surface, find_marching_cubes

RADIUS = 0.87


def ball(radius: float, resolution: int = 24) -> Tensor:
    """A density that is 25 on a sphere, around a point that no symmetry of the grid keeps."""
    ticks = torch.linspace(-RADIUS, RADIUS, resolution)
    x, y, z = torch.meshgrid(ticks, ticks, ticks, indexing="ij")
    distance = ((x - 0.2) ** 2 + (y + 0.1) ** 2 + z**2).sqrt()
    return 25 + 30 * (radius - distance)


def test_a_surface_is_where_the_density_is_and_faces_out() -> None:
    vertices, faces = extract_surface(ball(0.5), radius=RADIUS, marching_cubes=marching_cubes)
    distance = (vertices - torch.tensor([0.2, -0.1, 0.0])).norm(dim=1)
    assert (distance - 0.5).abs().max() < 0.01
    assert faces.dtype == torch.int64
    assert is_watertight(faces.numpy())
    volume = enclosed_volume(vertices.double().numpy(), faces.numpy())
    assert volume == pytest.approx(4 / 3 * torch.pi * 0.5**3, rel=0.02)


def test_faces_with_corners_of_their_own_get_common_ones() -> None:
    def soup(volume: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        vertices, faces = marching_cubes(volume, threshold)
        return vertices[faces.flatten().long()], torch.arange(faces.numel(), dtype=torch.int32).view(-1, 3)

    vertices, faces = extract_surface(ball(0.5), radius=RADIUS, marching_cubes=soup)
    whole, _ = extract_surface(ball(0.5), radius=RADIUS, marching_cubes=marching_cubes)
    assert len(vertices) == len(whole)
    assert is_watertight(faces.numpy())


@pytest.mark.parametrize(("radius", "side"), [(-1.0, "empty"), (9.0, "full")])
def test_a_volume_without_a_surface(radius: float, side: str) -> None:
    with pytest.raises(SurfaceError, match=side) as caught:
        extract_surface(ball(radius), radius=RADIUS, marching_cubes=marching_cubes)
    assert caught.value.remedy


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_density_that_is_not_finite(value: float) -> None:
    density = ball(0.5)
    density[3, 4, 5] = value
    with pytest.raises(FieldError, match="not finite"):
        extract_surface(density, radius=RADIUS, marching_cubes=marching_cubes)


def test_a_kernel_that_finds_nothing_where_something_is() -> None:
    def blind(_volume: Tensor, _threshold: float) -> tuple[Tensor, Tensor]:
        return torch.empty(0, 3), torch.empty(0, 3, dtype=torch.int32)

    with pytest.raises(SurfaceError, match="found no surface"):
        extract_surface(ball(0.5), radius=RADIUS, marching_cubes=blind)


def test_a_kernel_that_runs_elsewhere() -> None:
    def elsewhere(volume: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        vertices, faces = marching_cubes(volume, threshold)
        return vertices.to("meta"), faces.to("meta")

    with pytest.raises(MarchingCubesError, match="meta"):
        extract_surface(ball(0.5), radius=RADIUS, marching_cubes=elsewhere)


def test_marching_cubes_that_are_not_installed(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmcubes", None)
    with pytest.raises(MarchingCubesError, match="not installed") as caught:
        find_marching_cubes(torch.device("cpu"))
    assert "cudawheel build" in caught.value.remedy


def test_marching_cubes_that_cannot_be_imported(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "torchmcubes.py").write_text("raise ImportError('undefined symbol: x')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchmcubes", raising=False)
    with pytest.raises(MarchingCubesError, match="cannot be imported") as caught:
        find_marching_cubes(torch.device("cpu"))
    assert "undefined symbol: x" in caught.value.why


def test_marching_cubes_without_a_kernel_for_the_gpu_are_not_run_on_the_cpu(monkeypatch) -> None:
    install(monkeypatch)
    monkeypatch.setitem(sys.modules, "torchmcubes_module", types.ModuleType("torchmcubes_module"))
    sys.modules["torchmcubes"].__file__ = "torchmcubes/__init__.py"
    with pytest.raises(MarchingCubesError, match="no CUDA kernel"):
        find_marching_cubes(torch.device("cuda", 0))
    assert find_marching_cubes(torch.device("cpu")) is marching_cubes


def test_a_mesh_of_a_scene_tells_its_stages_and_has_the_colours_of_the_field() -> None:
    field, stages = load_scene("torus").field, Stages(torch.device("cpu"))
    steps: list[tuple[int, int]] = []
    mesh = extract_mesh(
        field, 24, marching_cubes=marching_cubes, stage=stages, progress=lambda *step: steps.append(step)
    )
    assert list(stages.seconds) == ["density", "marching cubes", "colours"]
    assert steps[-1] == (24**3, 24**3)
    assert torch.equal(mesh.colours, field.colour(field.raw(mesh.vertices)))
    assert mesh.colours.std(dim=0).min() > 0.1


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"
        ),
        MemoryError("Unable to allocate 9 GiB"),
    ],
)
def test_a_stage_without_memory_names_itself_and_says_what_to_lower(error: Exception) -> None:
    stages = Stages(torch.device("cpu"))
    with pytest.raises(DeviceMemoryError, match="'marching cubes'") as caught, stages("marching cubes"):
        raise error
    assert "more" not in caught.value.why
    assert "--chunk-size" in caught.value.remedy


def test_a_stage_lets_other_errors_through() -> None:
    with pytest.raises(RuntimeError, match="something else"), Stages(torch.device("cpu"))("colours"):
        raise RuntimeError("something else")
