"""Means of long tensors, as products of matrices.

onnxruntime's own sums have two faults here. A sum of a million numbers in float32 loses four digits, and the order of
a sum over the first axis depends on the number of threads. So sums are products with rows of ones, over pieces first
and then over the pieces: every number is then a sum in a fixed order.
"""

from __future__ import annotations

import numpy as np

from worker.model_setup.htdemucs.graph_builder import GraphBuilder

LONGEST_SUM = 512
"""Sums over more rows than this are taken in two steps."""


def mean_of_rows(g: GraphBuilder, x: str, rows: int) -> str:
    """Return the mean of x over its first axis, which has `rows` places, shape (1, numbers in a row)."""
    x = g.reshaped(x, rows, -1)
    if rows <= LONGEST_SUM:
        return g.node("MatMul", g.constant(np.full((1, rows), 1 / rows)), x)
    pieces = -(-rows // LONGEST_SUM)
    x = g.reshaped(g.padded(x, 0, 0, pieces * LONGEST_SUM - rows), pieces, LONGEST_SUM, -1)
    sums = g.node("MatMul", g.constant(np.ones((1, LONGEST_SUM))), x)
    return g.node("MatMul", g.constant(np.full((1, pieces), 1 / rows)), g.reshaped(sums, pieces, -1))
