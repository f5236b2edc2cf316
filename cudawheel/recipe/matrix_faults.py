"""What a matrix says against itself, though each of its values is one."""

from __future__ import annotations

from collections import Counter

from cudawheel.data import torch_releases
from cudawheel.errors import Fault
from cudawheel.recipe.recipe import Matrix


def matrix_faults(matrix: Matrix) -> tuple[Fault, ...]:
    """Find what a matrix says twice, and what no cell of it can fulfil.

    A cell that is merely out of reach, such as a Python that one torch has no wheel for, is no contradiction: the plan
    rejects it and says why.
    """
    faults = [
        Fault(path=f"matrix.{name}", found=f"{value} {count} times", allowed="each value names other cells, so once")
        for name in ("python", "torch", "cuda")
        for value, count in Counter(map(str, getattr(matrix, name) or ())).items()
        if count > 1
    ]
    built_with = {torch_releases()[torch].cuda for torch in matrix.torch or () if torch in torch_releases()}
    faults += [
        Fault(
            path="matrix.cuda",
            found=f"{cuda}, with which no torch of the matrix is built",
            allowed=f"their CUDA is {', '.join(map(str, sorted(built_with)))}; leave `cuda` out to follow each torch",
        )
        for cuda in matrix.cuda
        if built_with and cuda not in built_with
    ]
    return tuple(faults)
