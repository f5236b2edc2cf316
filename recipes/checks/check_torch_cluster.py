"""torch-cluster's neighbours, samples, cells, pairs and walks against brute force over all points, in float64."""

from __future__ import annotations

import torch
import torch_cluster

SIZES, QUERIES = (180, 120), (25, 15)  # two clouds of points, and as many places to ask from


def check_neighbours(points: torch.Tensor, queries: torch.Tensor, device: str) -> None:
    """Compare the nearest of each cloud, and those within a radius, with all distances.

    Args:
        points: of shape (points, 3), the clouds one after another.
        queries: of shape (queries, 3), likewise.
        device: where to compute.
    """
    clouds, asking = (torch.repeat_interleave(torch.tensor(sizes)) for sizes in (SIZES, QUERIES))
    distances = torch.cdist(queries, points, compute_mode="donot_use_mm_for_euclid_dist")
    distances[asking[:, None] != clouds[None]] = float("inf")
    given = [tensor.to(device) for tensor in (points, queries)]
    batches = [tensor.to(device) for tensor in (clouds, asking)]

    query, point = torch_cluster.knn(*given, 5, *batches).cpu()
    assert torch.equal(query.bincount(), torch.full((len(queries),), 5))
    found = distances[query, point].view(-1, 5).sort(1).values
    torch.testing.assert_close(found, distances.topk(5, largest=False).values)

    pairs = torch_cluster.radius(*given, 0.3, *batches, max_num_neighbors=len(points)).cpu()
    assert sorted(pairs.T.tolist()) == (distances < 0.3).nonzero().tolist()

    nearest = torch_cluster.nearest(given[1], given[0], batches[1], batches[0]).cpu()
    assert torch.equal(nearest, distances.argmin(1))


def check_samples(points: torch.Tensor, device: str) -> None:
    """Compare farthest-point samples with their definition: each is as far as can be from all before it."""
    clouds = torch.repeat_interleave(torch.tensor(SIZES))
    found = torch_cluster.fps(points.to(device), clouds.to(device), ratio=0.25, random_start=False)
    expected, start = [], 0
    for size in SIZES:
        between = torch.cdist(*[points[start : start + size]] * 2, compute_mode="donot_use_mm_for_euclid_dist")
        chosen = [0]
        while len(chosen) < size // 4:
            chosen.append(int(between[chosen].min(0).values.argmax()))
        expected += [start + at for at in chosen]
        start += size
    assert found.tolist() == expected


def check_cells(points: torch.Tensor, device: str) -> None:
    """Compare cells of a grid: two points share one where all their coordinates, rounded down, are the same."""
    edges = torch.tensor([0.2, 0.3, 0.5], dtype=points.dtype)
    cluster = torch_cluster.grid_cluster(points.to(device), edges.to(device)).cpu()
    cells = ((points - points.min(0).values) / edges).floor()
    assert torch.equal(cluster[:, None] == cluster[None], (cells[:, None] == cells[None]).all(2))


def check_graph(points: torch.Tensor, device: str) -> None:
    """Look whether pairs and walks keep to the edges: no node in two pairs, none left that could be paired."""
    near = torch.cdist(points, points) < 0.15
    near = near.logical_and(~torch.eye(len(points), dtype=torch.bool))
    row, col = near.nonzero().T
    count = len(points)
    cluster = torch_cluster.graclus_cluster(row.to(device), col.to(device), num_nodes=count).cpu()
    same = (cluster[:, None] == cluster[None]).logical_and(~torch.eye(count, dtype=torch.bool))
    assert same.sum(1).max() == 1
    assert not (same & ~near).any()
    alone = ~same.any(1)
    assert not (near & alone[:, None] & alone[None]).any()

    starts = torch.arange(count)
    walks = torch_cluster.random_walk(row.to(device), col.to(device), starts.to(device), 12, num_nodes=count).cpu()
    assert torch.equal(walks[:, 0], starts)
    here, there = walks[:, :-1], walks[:, 1:]
    assert torch.equal(near[here, there], near.any(1)[here])  # a step leads along an edge wherever there is one
    assert (here == there)[~near.any(1)[here]].all()


generator = torch.Generator().manual_seed(7)
cloud, places = (torch.rand(sum(sizes), 3, generator=generator, dtype=torch.float64) for sizes in (SIZES, QUERIES))
devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
for device in devices:
    check_neighbours(cloud, places, device)
    check_samples(cloud, device)
    check_cells(cloud, device)
    check_graph(cloud, device)
print(f"{', '.join(devices)}: neighbours, samples, cells, pairs and walks are right")
