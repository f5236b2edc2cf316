"""cuPDLPx against linear programs whose optimum is known by duality. It solves on a GPU alone."""

from __future__ import annotations

import ctypes
import sys

import cupdlpx
import numpy as np
from cupdlpx import PDLP

NOTHING_TO_COMPUTE = 77


def gpus() -> int:
    """Count the GPUs that the driver sees, without any package that knows of them."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    return count.value if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0


def make(seed: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Make a program, minimise c x subject to A x >= b and x >= 0, around an optimum that is chosen first.

    Returns:
        c, A, b, and the least value. By complementary slackness the chosen pair is optimal: where x is positive its
        reduced cost is 0, where a dual is positive its row is tight.
    """
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, columns))
    primal = np.where(random.random(columns) < 0.5, random.random(columns), 0.0)
    dual = np.where(random.random(rows) < 0.5, random.random(rows), 0.0)
    costs = matrix.T @ dual + np.where(primal > 0, 0.0, random.random(columns))
    bounds = matrix @ primal - np.where(dual > 0, 0.0, random.random(rows))
    return costs, matrix, bounds, float(costs @ primal)


def check(seed: int, rows: int, columns: int) -> None:
    """Solve one program and compare value and feasibility."""
    costs, matrix, bounds, least = make(seed, rows, columns)
    model = cupdlpx.Model(costs, matrix, bounds, None, variable_lower_bound=np.zeros(columns))
    model.ModelSense = PDLP.MINIMIZE
    model.Params.OutputFlag = False
    model.Params.OptimalityTol = 1e-7
    model.Params.FeasibilityTol = 1e-7
    model.optimize()
    assert abs(model.ObjVal - least) < 1e-4 * (1 + abs(least)), f"{model.ObjVal}, not {least}"
    found = np.asarray(model.X)
    assert (matrix @ found - bounds).min() > -1e-4, "a row is violated"
    assert found.min() > -1e-6, "a variable is negative"


if not gpus():
    model = cupdlpx.Model(np.ones(2), np.eye(2), np.ones(2), None)
    assert (model.num_vars, model.num_constrs) == (2, 2)
    print("no GPU, and cuPDLPx solves on nothing else; a model can be made")
    sys.exit(NOTHING_TO_COMPUTE)
for seed in range(5):
    check(seed, 40, 60)
print("cuda: five programs have their optimum")
