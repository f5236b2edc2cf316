"""Marching cubes for tests of what is done with a mesh: scikit-image's, called as torchmcubes' are."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
from skimage.measure import marching_cubes as reference
from torch import Tensor


def marching_cubes(volume: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """(Nz, Ny, Nx) to vertices in x, y, z order and faces, oriented as torchmcubes orients them."""
    vertices, faces, *_ = reference(volume.cpu().numpy().astype(np.float64), threshold, method="lorensen")
    ordered = np.ascontiguousarray(vertices[:, ::-1], dtype=np.float32)
    turned = np.ascontiguousarray(faces[:, ::-1], dtype=np.int32)
    return torch.from_numpy(ordered).to(volume.device), torch.from_numpy(turned).to(volume.device)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be what `import torchmcubes` gives."""
    package = types.ModuleType("torchmcubes")
    package.marching_cubes = marching_cubes  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchmcubes", package)
