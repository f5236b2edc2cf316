"""A package of others, built with setuptools and torch's ninja: two capabilities, and right on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT, Cudawheel, make_environment, run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3000)]

BRUTE_FORCE = """
import torch
from chamferdist.chamfer import knn_points

torch.manual_seed(0)
for points, others in ((37, 53), (200, 1), (1, 90)):
    a, b = torch.rand(3, points, 3), torch.rand(3, others, 3)
    found = knn_points(a, b, K=1)
    distances = (a.double()[:, :, None] - b.double()[:, None]).square().sum(-1)
    nearest, index = distances.min(-1)
    assert torch.equal(found.idx[..., 0], index), "another neighbour"
    torch.testing.assert_close(found.dists[..., 0].double(), nearest, rtol=1e-5, atol=1e-7)
print("equal")
"""


def test_two_capabilities_and_the_neighbours_of_brute_force(cudawheel: Cudawheel, tmp_path: Path) -> None:
    house = tmp_path / "wheelhouse"
    recipe = ROOT / "recipes" / "chamferdist.toml"
    record = cudawheel.build(recipe, "--capabilities", "9.0;12.0", "--wheelhouse", house)
    assert record["audit"]["capabilities"] == {"cubins": ["9.0", "12.0"], "ptx": []}
    torch = f"torch=={record['variant']['torch']}.*"
    python = make_environment(tmp_path / "environment", record["path"], torch, "numpy")
    assert run(python, "-c", BRUTE_FORCE, cwd=tmp_path).strip() == "equal"
