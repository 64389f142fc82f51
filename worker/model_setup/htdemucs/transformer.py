"""The transformer between encoders and decoders as nodes of an ONNX graph.

Tokens are (n, width): those of the spectrum in the order time, frequency; those of the waveform in time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from worker.engines.interface import FloatArray
from worker.model_setup.htdemucs.arguments import HTDemucsArguments
from worker.model_setup.htdemucs.graph_builder import MICROSOFT, GraphBuilder, Weights
from worker.model_setup.htdemucs.layers import Tensor
from worker.model_setup.htdemucs.means import mean_of_rows
from worker.model_setup.htdemucs.parameters import is_cross_layer

QUERIES_AT_ONCE = 336
"""Attention takes this many queries at a time: the scores of all 2688 against each other would take 231 MB."""

_EPSILON = 1e-5

_Array = NDArray[np.float64]


def transformer(
    g: GraphBuilder, arguments: HTDemucsArguments, weights: Weights, x: Tensor, xt: Tensor
) -> tuple[Tensor, Tensor]:
    """Add the transformer with the change of width before and after it. Returns both branches."""
    branches = []
    for branch, suffix in ((x, ""), (xt, "_t")):
        tokens = _resized(g, weights, f"channel_upsampler{suffix}", g.reshaped(branch.name, -1, branch.channels))
        tokens = _layer_norm(g, weights, f"crosstransformer.norm_in{suffix}", tokens)
        positions = _positions(arguments, branch) * arguments.t_weight_pos_embed
        branches.append(g.node("Add", tokens, g.constant(positions)))
    counts = (x.outer * x.rows, xt.rows)
    for index in range(arguments.t_layers):
        is_cross = is_cross_layer(arguments, index)
        others = branches[::-1] if is_cross else branches
        layers = [
            _Layer(g, arguments, weights, f"crosstransformer.layers{suffix}.{index}", is_cross) for suffix in ("", "_t")
        ]
        branches = [
            layer.output(tokens, other, count)
            for layer, tokens, other, count in zip(layers, branches, others, counts, strict=True)
        ]
    names = [
        _resized(g, weights, f"channel_downsampler{suffix}", tokens)
        for tokens, suffix in zip(branches, ("", "_t"), strict=True)
    ]
    return tuple(  # type: ignore[return-value]
        branch.named(g.reshaped(name, branch.outer, branch.rows, branch.channels))
        for branch, name in zip((x, xt), names, strict=True)
    )


def _resized(g: GraphBuilder, weights: Weights, name: str, tokens: str) -> str:
    if f"{name}.weight" not in weights:
        return tokens
    return g.linear(tokens, weights[f"{name}.weight"][:, :, 0].T, weights[f"{name}.bias"])


def _layer_norm(g: GraphBuilder, weights: Weights, name: str, tokens: str) -> str:
    constants = [g.constant(weights[f"{name}.{part}"]) for part in ("weight", "bias")]
    return g.node("LayerNormalization", tokens, *constants, axis=-1, epsilon=_EPSILON)


class _Layer:
    """A layer of one branch: attention to itself or to the other branch, then a feed-forward network."""

    def __init__(
        self, g: GraphBuilder, arguments: HTDemucsArguments, weights: Weights, name: str, is_cross: bool
    ) -> None:
        self._g, self._weights, self._name, self._is_cross = g, weights, name, is_cross
        self._heads, self._width = arguments.t_heads, arguments.transformer_channels

    def output(self, tokens: str, other: str, count: int) -> str:
        """Return the `count` tokens of this branch after the layer."""
        g = self._g
        queries = self._normed("norm1", tokens)
        keys = self._normed("norm2", other) if self._is_cross else queries
        tokens = g.node("Add", tokens, self._attention(queries, keys, count))
        hidden = self._linear("linear1", self._normed("norm3" if self._is_cross else "norm2", tokens))
        gamma = self._weight("gamma_2.scale")
        tokens = g.node("Add", tokens, self._linear("linear2", g.node("Gelu", hidden), gamma))
        return self._normed_over_all(tokens, count)

    def _weight(self, name: str) -> FloatArray:
        return self._weights[f"{self._name}.{name}"]

    def _normed(self, norm: str, tokens: str) -> str:
        return _layer_norm(self._g, self._weights, f"{self._name}.{norm}", tokens)

    def _linear(self, name: str, x: str, gamma: FloatArray | None = None) -> str:
        weight, bias = self._weight(f"{name}.weight").T, self._weight(f"{name}.bias")
        # The layer scale is a factor of the result.
        return self._g.linear(x, weight, bias) if gamma is None else self._g.linear(x, weight * gamma, bias * gamma)

    def _attention(self, queries: str, keys: str, count: int) -> str:
        """Return the attention with its layer scale, shape (count, width)."""
        g, width = self._g, self._width
        kind = "cross_attn" if self._is_cross else "self_attn"
        weight, bias = self._weight(f"{kind}.in_proj_weight").T, self._weight(f"{kind}.in_proj_bias")
        q = g.linear(queries, weight[:, :width], bias[:width])
        # A term that is the same for all keys changes no softmax, so the keys need no bias.
        k, v = g.linear(keys, weight[:, width : 2 * width]), g.linear(keys, weight[:, 2 * width :])
        attend = (_fused_attention if g.style.has_attention else _plain_attention)(g, k, v, self._heads, width)
        parts = [
            attend(g.part(q, 0, first, min(first + QUERIES_AT_ONCE, count)))
            for first in range(0, count, QUERIES_AT_ONCE)
        ]
        attended = g.reshaped(g.node("Concat", *parts, axis=1), -1, width)
        gamma = self._weight("gamma_1.scale")
        out, out_bias = self._weight(f"{kind}.out_proj.weight"), self._weight(f"{kind}.out_proj.bias")
        # Weights of attention sum to 1, so the values' bias can be added after it.
        return g.linear(attended, out.T * gamma, (out_bias + out @ bias[2 * width :]) * gamma)

    def _normed_over_all(self, tokens: str, count: int) -> str:
        """Normalise over all tokens and channels together."""
        g = self._g
        centred = g.node("Sub", tokens, self._mean(tokens, count))
        variance = self._mean(g.node("Mul", centred, centred), count)
        factor = g.node("Reciprocal", g.node("Sqrt", g.node("Add", variance, g.number(_EPSILON))))
        factor = g.node("Mul", factor, g.constant(self._weight("norm_out.weight")))
        return g.node("Add", g.node("Mul", centred, factor), g.constant(self._weight("norm_out.bias")))

    def _mean(self, tokens: str, count: int) -> str:
        g = self._g
        return mean_of_rows(g, g.node("ReduceMean", tokens, g.whole(1), keepdims=1), count)


def _fused_attention(g: GraphBuilder, k: str, v: str, heads: int, width: int) -> Callable[[str], str]:
    """Return a function that adds the attention of queries, shape (n, width), to keys and values of that shape.

    What it adds has the shape (1, n, width).
    """
    k, v = (g.reshaped(x, 1, -1, width) for x in (k, v))

    def attend(queries: str) -> str:
        part = g.reshaped(queries, 1, -1, width)
        return g.node("MultiHeadAttention", part, k, v, domain=MICROSOFT, num_heads=heads)

    return attend


def _plain_attention(g: GraphBuilder, k: str, v: str, heads: int, width: int) -> Callable[[str], str]:
    """Return the same as `_fused_attention`, in operators that OpenVINO recognises as attention."""
    per_head = width // heads
    k = g.node("Transpose", g.reshaped(k, 1, -1, heads, per_head), perm=[0, 2, 3, 1])
    v = g.node("Transpose", g.reshaped(v, 1, -1, heads, per_head), perm=[0, 2, 1, 3])

    def attend(queries: str) -> str:
        scaled = g.node("Mul", queries, g.number(per_head**-0.5))
        q = g.node("Transpose", g.reshaped(scaled, 1, -1, heads, per_head), perm=[0, 2, 1, 3])
        shares = g.node("Softmax", g.node("MatMul", q, k), axis=-1)
        found = g.node("Transpose", g.node("MatMul", shares, v), perm=[0, 2, 1, 3])
        return g.reshaped(found, 1, -1, width)

    return attend


def _positions(arguments: HTDemucsArguments, branch: Tensor) -> _Array:
    """Return the position embedding of a branch's tokens, shape (n, width)."""
    width = arguments.transformer_channels
    if branch.outer == 1:
        return _time_positions(branch.rows, width, arguments.t_max_period)
    return _spectrum_positions(branch.outer, branch.rows, width, arguments.t_max_period)


def _time_positions(length: int, width: int, max_period: float) -> _Array:
    """Cosines of all frequencies, then their sines."""
    half = width // 2
    phase = np.arange(length)[:, np.newaxis] / max_period ** (np.arange(half) / (half - 1))
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=1)


def _spectrum_positions(times: int, bins: int, width: int, max_period: float) -> _Array:
    """The first half of the channels tells the time, the second the frequency; sines and cosines alternate."""
    half = width // 2
    frequencies = np.exp(np.arange(0, half, 2) * -(math.log(max_period) / half))
    positions = np.empty((times, bins, width))
    for first, phase in (
        (0, (np.arange(times)[:, np.newaxis] * frequencies)[:, np.newaxis]),
        (half, (np.arange(bins)[:, np.newaxis] * frequencies)[np.newaxis]),
    ):
        positions[..., first : first + half : 2] = np.sin(phase)
        positions[..., first + 1 : first + half : 2] = np.cos(phase)
    return positions.reshape(times * bins, width)
