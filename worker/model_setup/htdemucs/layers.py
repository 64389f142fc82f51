"""The convolutional layers of HT-Demucs as nodes of an ONNX graph.

Tensors are (outer, rows, channels). In the spectrum's branch `outer` is time and `rows` are frequencies; in the
waveform's branch `outer` is 1 and `rows` are time. With the channels last, nearly every convolution is one product of
matrices with a constant: no im2col, and no transposed convolution, which onnxruntime computes slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worker.model_setup.htdemucs.arguments import KERNEL, STRIDE
from worker.model_setup.htdemucs.graph_builder import GraphBuilder, Weights

_MARGIN = (KERNEL - STRIDE) // 2
"""The rows of zeros that strided convolutions see before the first row."""


@dataclass(frozen=True)
class Tensor:
    """The name of a tensor in the graph, and its shape."""

    name: str
    outer: int
    rows: int
    channels: int

    @property
    def numbers(self) -> int:
        """How many numbers it has."""
        return self.outer * self.rows * self.channels

    def named(self, name: str, *, rows: int | None = None, channels: int | None = None) -> Tensor:
        """Return the tensor that a node makes of this one."""
        return Tensor(name, self.outer, rows or self.rows, channels or self.channels)


def bounds_of_pieces(g: GraphBuilder, length: int, numbers: int) -> list[tuple[int, int]]:
    """Return the first place of each piece of an axis and the place after its last, for a tensor of so many numbers."""
    step = -(-length // max(1, -(-numbers // g.style.piece_numbers)))
    return [(first, min(first + step, length)) for first in range(0, length, step)]


def in_pieces(g: GraphBuilder, x: Tensor, layer: Callable[[Tensor, bool, bool], Tensor], *, halo: int = 0) -> Tensor:
    """Apply a layer to pieces of the outer axis, and join what it makes of them.

    A piece has `halo` more places at each end, except at the ends of x. The layer is told whether the piece has the
    first place of x, and whether it has the last; it returns the piece without these places.
    """
    bounds = bounds_of_pieces(g, x.outer, x.numbers)
    if len(bounds) == 1:
        return layer(x, True, True)
    parts = []
    for first, stop in bounds:
        start, end = max(0, first - halo), min(x.outer, stop + halo)
        piece = Tensor(g.part(x.name, 0, start, end), end - start, x.rows, x.channels)
        parts.append(layer(piece, first == 0, stop == x.outer))
    joined = g.node("Concat", *(part.name for part in parts), axis=0)
    return Tensor(joined, x.outer, parts[0].rows, parts[0].channels)


def add(g: GraphBuilder, x: Tensor, y: str) -> Tensor:
    """Add two tensors."""
    return x.named(g.node("Add", x.name, y))


def gelu(g: GraphBuilder, x: Tensor) -> Tensor:
    """Apply the exact GELU."""
    return x.named(g.node("Gelu", x.name))


def narrowing(g: GraphBuilder, x: Tensor, weights: Weights, name: str) -> Tensor:
    """Add the strided convolution over rows that begins an encoder layer.

    It sees blocks of four rows: each output row is a product of two neighbouring blocks.
    """
    return in_pieces(g, x, lambda piece, *_: _narrowing(g, piece, weights, name))


def _narrowing(g: GraphBuilder, x: Tensor, weights: Weights, name: str) -> Tensor:
    weight = weights[f"{name}.weight"]
    after = len(weight)
    rows = -(-x.rows // STRIDE)
    blocks = g.padded(x.name, 1, _MARGIN, STRIDE * (rows + 1) - _MARGIN - x.rows)
    blocks = g.reshaped(blocks, x.outer, rows + 1, STRIDE * x.channels)
    both = g.node("Concat", g.part(blocks, 1, 0, rows), g.part(blocks, 1, 1, rows + 1), axis=2)
    # (after, before, kernel) becomes (kernel x before, after).
    matrix = weight.reshape(after, x.channels, KERNEL).transpose(2, 1, 0).reshape(-1, after)
    y = g.linear(g.reshaped(both, -1, KERNEL * x.channels), matrix, weights[f"{name}.bias"])
    return x.named(g.reshaped(y, x.outer, rows, after), rows=rows, channels=after)


def widening(g: GraphBuilder, x: Tensor, weights: Weights, name: str, rows: int) -> Tensor:
    """Add the transposed convolution over rows that ends a decoder layer, cut to `rows`.

    Each input row adds to two neighbouring blocks of four output rows.
    """
    return in_pieces(g, x, lambda piece, *_: _widening(g, piece, weights, name, rows))


def _widening(g: GraphBuilder, x: Tensor, weights: Weights, name: str, rows: int) -> Tensor:
    weight = weights[f"{name}.weight"]
    after = weight.shape[1]
    both = g.node("Concat", g.padded(x.name, 1, 0, 1), g.padded(x.name, 1, 1, 0), axis=2)
    # (before, after, kernel): the first half of the kernel meets the block's own row, the second the row before.
    halves = weight.reshape(x.channels, after, 2, STRIDE).transpose(2, 0, 3, 1)
    matrix = halves.reshape(2 * x.channels, STRIDE * after)
    bias = np.tile(weights[f"{name}.bias"], STRIDE)
    blocks = g.linear(g.reshaped(both, -1, 2 * x.channels), matrix, bias)
    y = g.part(g.reshaped(blocks, x.outer, STRIDE * (x.rows + 1), after), 1, _MARGIN, _MARGIN + rows)
    return x.named(y, rows=rows, channels=after)


def gated(g: GraphBuilder, x: Tensor, weights: Weights, name: str) -> Tensor:
    """Add a pointwise convolution and a gated linear unit."""
    return in_pieces(g, x, lambda piece, *_: _gated(g, piece, weights, name))


def _gated(g: GraphBuilder, x: Tensor, weights: Weights, name: str) -> Tensor:
    weight = weights[f"{name}.weight"].reshape(-1, x.channels).T
    flat = g.reshaped(x.name, -1, x.channels)
    y = gate(g, flat, weight, weights[f"{name}.bias"])
    return x.named(g.reshaped(y, x.outer, x.rows, x.channels))


def gate(g: GraphBuilder, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
    """Multiply rows with a matrix, and one half of the result with the sigmoid of the other."""
    half = weight.shape[1] // 2
    value = g.linear(x, weight[:, :half], bias[:half])
    opening = g.node("Sigmoid", g.linear(x, weight[:, half:], bias[half:]))
    return g.node("Mul", value, opening)


def gated_in_context(g: GraphBuilder, x: Tensor, weights: Weights, name: str) -> Tensor:
    """Add the convolution that sees the neighbours of each place, and a gated linear unit."""
    if weights[f"{name}.weight"].ndim == 3:
        return _gated_in_time(g, x, weights, name)

    def layer(piece: Tensor, is_first: bool, is_last: bool) -> Tensor:
        return _gated_in_spectrum(g, piece, weights, name, (int(is_first), int(is_last)))

    return in_pieces(g, x, layer, halo=1)


def _gated_in_spectrum(g: GraphBuilder, x: Tensor, weights: Weights, name: str, zeros: tuple[int, int]) -> Tensor:
    """`zeros` are the places of zeros that the convolution sees before and after the outer axis."""
    # (after, before, frequency, time) becomes (after, before, time, frequency).
    kernel, bias = weights[f"{name}.weight"].transpose(0, 1, 3, 2), weights[f"{name}.bias"]
    outer, pads = x.outer - 2 + sum(zeros), [zeros[0], 1, zeros[1], 1]
    image = g.node("Transpose", g.reshaped(x.name, 1, x.outer, x.rows, x.channels), perm=[0, 3, 1, 2])
    value, opening = (
        g.node("Conv", image, g.constant(kernel[half]), g.constant(bias[half]), kernel_shape=[3, 3], pads=pads)
        for half in (slice(x.channels), slice(x.channels, None))
    )
    y = g.node("Mul", value, g.node("Sigmoid", opening))
    y = g.node("Transpose", y, perm=[0, 2, 3, 1])
    return Tensor(g.reshaped(y, outer, x.rows, x.channels), outer, x.rows, x.channels)


def _gated_in_time(g: GraphBuilder, x: Tensor, weights: Weights, name: str) -> Tensor:
    weight = weights[f"{name}.weight"]
    before, after = g.padded(x.name, 1, 1, -1), g.padded(x.name, 1, -1, 1)
    three = g.reshaped(g.node("Concat", before, x.name, after, axis=2), -1, 3 * x.channels)
    y = gate(g, three, weight.transpose(2, 1, 0).reshape(3 * x.channels, -1), weights[f"{name}.bias"])
    return x.named(g.reshaped(y, x.outer, x.rows, x.channels))
