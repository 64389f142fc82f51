"""The residual branch of each layer (the reference's `DConv`) as nodes of an ONNX graph.

A branch squeezes the channels by 8, convolves over time, and widens again, with a normalisation (a group norm of one
group) after each step, per frequency. Written out plainly, the wide half takes most of the time, because the second
normalisation passes over tensors of twice the layer's size. Here the wide tensor's mean and variance are computed
from the narrow one, exactly: with the wide tensor z = W a + b, the mean of z is the mean of W a + b over the channels
at the mean of a; its variance is that of the squared lengths of L (a - mean of a), with L L^T = W^T W, plus the spread
of the channels' means. What is left of the normalisation are factors of a and two more columns beside a.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.model_setup.htdemucs.graph_builder import GraphBuilder, Weights
from worker.model_setup.htdemucs.layers import Tensor, bounds_of_pieces, gate
from worker.model_setup.htdemucs.means import mean_of_rows

_EPSILON = 1e-5
"""Added to the variance, as the reference does."""

_Array = NDArray[np.float64]


def residual_branch(g: GraphBuilder, x: Tensor, weights: Weights, name: str, depth: int) -> Tensor:
    """Add the branch's layers, each with twice the dilation of the one before."""
    # Time comes first, then the rows that are normalised each for itself: frequencies, or one row of the waveform.
    time, rows = (x.rows, 1) if x.outer == 1 else (x.outer, x.rows)
    y = g.reshaped(x.name, -1, x.channels)
    for layer in range(depth):
        branch = _Branch(g, weights, f"{name}.layers.{layer}", time=time, rows=rows, channels=x.channels)
        y = branch.output(y, 2**layer)
    return x.named(g.reshaped(y, x.outer, x.rows, x.channels))


class _Branch:
    """One layer of the branch. Shapes in comments: t times, f rows, h hidden channels, c channels."""

    def __init__(self, g: GraphBuilder, weights: Weights, name: str, *, time: int, rows: int, channels: int) -> None:
        self._g, self._time, self._rows, self._channels = g, time, rows, channels
        double = {
            part: weights[f"{name}.{part}"].astype(np.float64)
            for part in ("0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias", "4.weight", "4.bias")
        }
        self._weights: dict[str, _Array] = double | {"scale": weights[f"{name}.6.scale"].astype(np.float64)}
        self._hidden = len(double["0.bias"])
        # Multiplying with it gives every hidden channel the mean of all.
        self._averaging = np.full((self._hidden, self._hidden), 1 / self._hidden)

    def output(self, x: str, dilation: int) -> str:
        """Return x, shape (t x f, c), with what the branch adds to it."""
        return self._with_widened(x, self._activated(self._squeezed(x, dilation)))

    def _squeezed(self, x: str, dilation: int) -> str:
        """Return the dilated convolution over time, shape (t, f, h)."""
        g, hidden = self._g, self._hidden
        weight, bias = self._weights["0.weight"], self._weights["0.bias"]
        matrix = weight.transpose(1, 2, 0).reshape(self._channels, 3 * hidden)
        bias = np.concatenate([np.zeros(hidden), bias, np.zeros(hidden)])
        taps = g.reshaped(g.linear(x, matrix, bias), self._time, self._rows, 3 * hidden)
        earlier, same, later = g.split(taps, 2, 3)
        earlier = g.padded(earlier, 0, dilation, -dilation)
        later = g.padded(later, 0, -dilation, dilation)
        return g.node("Add", g.node("Add", earlier, same), later)

    def _activated(self, x: str) -> str:
        """Return the normalised and activated x, shape (t, f, h)."""
        g = self._g
        average = g.constant(self._averaging)
        centred = g.node("Sub", x, g.node("MatMul", self._mean(x), average))
        variance = g.node("MatMul", self._mean(g.node("Mul", centred, centred)), average)
        factor = g.node("Mul", self._inverse_root(variance), g.constant(self._weights["1.weight"]))
        y = g.node("Add", g.node("Mul", centred, factor), g.constant(self._weights["1.bias"]))
        return g.node("Gelu", y)

    def _with_widened(self, x: str, a: str) -> str:
        """Add the widened, normalised and gated a to x."""
        g, hidden, wide = self._g, self._hidden, 2 * self._channels
        weight, bias = self._weights["3.weight"].reshape(wide, hidden), self._weights["3.bias"]
        mean = self._mean(a)
        wide_mean = g.node(
            "Add", g.node("MatMul", mean, g.constant(weight.mean(0)[:, np.newaxis])), g.number(float(bias.mean()))
        )
        factor = self._inverse_root(self._wide_variance(a, mean, weight, bias))
        each = g.node("MatMul", factor, g.constant(np.ones((1, hidden))))
        beside = g.node("Concat", factor, g.node("Mul", factor, wide_mean), axis=2)
        beside = g.node("Expand", beside, g.whole(self._time, self._rows, 2))
        columns = g.node("Concat", g.node("Mul", a, each), beside, axis=2)
        scale, shift = self._weights["4.weight"], self._weights["4.bias"]
        # The layer scale belongs to the half that is not a gate.
        layer_scale = np.concatenate([self._weights["scale"], np.ones(self._channels)])
        scale, shift = scale * layer_scale, shift * layer_scale
        matrix = np.concatenate([weight.T, bias[np.newaxis], -np.ones((1, wide))]) * scale
        columns = g.reshaped(columns, -1, hidden + 2)
        places = self._time * self._rows
        bounds = bounds_of_pieces(g, places, places * self._channels)
        if len(bounds) == 1:
            return g.node("Add", x, gate(g, columns, matrix, shift))
        parts = [
            g.node("Add", g.part(x, 0, *piece), gate(g, g.part(columns, 0, *piece), matrix, shift)) for piece in bounds
        ]
        return g.node("Concat", *parts, axis=0)

    def _wide_variance(self, a: str, mean: str, weight: _Array, bias: _Array) -> str:
        """Return the variance of W a + b over times and channels, shape (1, f, 1)."""
        g, hidden, wide = self._g, self._hidden, 2 * self._channels
        values, vectors = np.linalg.eigh(weight.T @ weight / wide)
        root = vectors * np.sqrt(np.maximum(values, 0))
        lengths = g.linear(g.reshaped(g.node("Sub", a, mean), -1, hidden), root)
        lengths = g.reshaped(g.node("Mul", lengths, lengths), self._time, self._rows, hidden)
        within = g.node("MatMul", self._mean(lengths), g.constant(np.ones((hidden, 1))))
        spread = g.linear(g.reshaped(mean, -1, hidden), (weight - weight.mean(0)).T, bias - bias.mean())
        between = g.linear(g.node("Mul", spread, spread), np.full((wide, 1), 1 / wide))
        return g.node("Add", within, g.reshaped(between, 1, self._rows, 1))

    def _inverse_root(self, variance: str) -> str:
        g = self._g
        return g.node("Reciprocal", g.node("Sqrt", g.node("Add", variance, g.number(_EPSILON))))

    def _mean(self, x: str) -> str:
        """Return the mean over time, shape (1, f, h)."""
        return self._g.reshaped(mean_of_rows(self._g, x, self._time), 1, self._rows, self._hidden)
