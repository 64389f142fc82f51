"""The graph of Spleeter's two U-Nets in ONNX, arranged for speed.

A straightforward translation (tests/bench has one, as the reference) spends a third of its time on moving
data and on channels that only fill up a vector register. This one computes the same sums in another
order:

- each transposed convolution is four plain ones, one for each parity of the output's row and column
  ("phases");
- batch normalisation is a convolution of one tap per channel, which onnxruntime keeps in its blocked layout;
- skip connections are added as convolutions of their own instead of being concatenated;
- the last transposed convolution makes one channel. It reads the four phases before it without
  interleaving them, and makes blocks of 4 x 4 pixels as 16 channels; the dilated convolution that follows
  works on the same blocks.

Jansson et al., Singing voice separation with deep U-Net convolutional networks, ISMIR 2017; Hennequin et al.,
Spleeter: a fast and efficient music source separation tool with pre-trained models, JOSS 2020.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FloatArray = NDArray[np.float32]
Weights = Mapping[str, FloatArray]

CHANNELS = 2
BINS = 1024
LEVELS = 6
SPLIT_LEVELS = (4, 5)
"""Where skip and path below are convolved apart. Higher up it saves the concatenation; deeper that costs
nothing."""

LEAK = 0.2
VARIANCE_FLOOR = 1e-3
MASK_FLOOR = 1e-10
"""Spleeter's: keeps the ratio defined in silence, and makes it one half there."""

BLOCK = 4
PADS_DOWN = [1, 1, 2, 2]


def build_model(vocals: Weights, accompaniment: Weights, segment_frames: int) -> onnx.ModelProto:
    """Return the model: `magnitudes` (1, 2, segment_frames, 1024) to the vocals' `masks` of the same shape.

    Raises KeyError when the weights lack an array.
    """
    graph = _Graph()
    v = _network(graph, vocals, "magnitudes")
    a = _network(graph, accompaniment, "magnitudes")
    power = graph.node("Mul", "magnitudes", "magnitudes")
    v2 = graph.node("Mul", graph.node("Mul", v, v), power)
    a2 = graph.node("Mul", graph.node("Mul", a, a), power)
    half, whole = (graph.constant(np.array([floor], np.float32)) for floor in (MASK_FLOOR / 2, MASK_FLOOR))
    above = graph.node("Add", v2, half)
    below = graph.node("Add", graph.node("Add", v2, a2), whole)
    graph.nodes.append(helper.make_node("Div", [above, below], ["masks"], name="masks"))
    shape = [1, CHANNELS, segment_frames, BINS]
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "spleeter",
            [helper.make_tensor_value_info("magnitudes", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("masks", TensorProto.FLOAT, shape)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )


class _Graph:
    """Nodes and constants under way, named by count."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: FloatArray) -> str:
        name = f"w{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def convolution(
        self, x: str, weight: FloatArray, bias: FloatArray | None, pads: Sequence[int], stride: int = 1
    ) -> str:
        inputs = [x, self.constant(weight)] + ([] if bias is None else [self.constant(bias)])
        kernel = list(weight.shape[2:])
        return self.node("Conv", *inputs, kernel_shape=kernel, pads=list(pads), strides=[stride, stride])

    def normalisation(self, x: str, weights: Weights, name: str, repeats: int = 1) -> str:
        """Add batch normalisation in its running form: a factor and a term for each channel."""
        scale = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + VARIANCE_FLOOR)
        shift = weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale
        scale, shift = np.tile(scale, repeats), np.tile(shift, repeats)
        inputs = [x, self.constant(scale.reshape(-1, 1, 1, 1)), self.constant(shift)]
        return self.node("Conv", *inputs, kernel_shape=[1, 1], group=len(scale))


def _network(graph: _Graph, weights: Weights, x: str) -> str:
    """Add one U-Net up to its sigmoid; return the output's name, shape (1, 2, frames, bins)."""
    skips = _down(graph, weights, x)
    phases = _up(graph, weights, skips[LEVELS - 1], None, 1)
    for level in range(2, LEVELS):
        below = graph.node("DepthToSpace", graph.node("Concat", *phases, axis=1), blocksize=2, mode="DCR")
        phases = _up(graph, weights, below, skips[LEVELS - level], level)
    blocks = _last_up(graph, weights, phases, skips[0])
    weight, bias = weights["up7.0.weight"], weights["up7.0.bias"]
    y = graph.convolution(blocks, dilated_block_kernel(weight), np.tile(bias, BLOCK**2), [1, 1, 1, 1])
    return graph.node("DepthToSpace", graph.node("Sigmoid", y), blocksize=BLOCK, mode="DCR")


def _down(graph: _Graph, weights: Weights, x: str) -> list[str]:
    """Add the six convolutions of stride 2; return what each gives before its normalisation."""
    outputs = []
    for level in range(1, LEVELS + 1):
        name = f"down{level}_conv.1"
        outputs.append(graph.convolution(x, weights[f"{name}.weight"], weights[f"{name}.bias"], PADS_DOWN, 2))
        if level < LEVELS:
            normal = graph.normalisation(outputs[-1], weights, f"down{level}_act.0")
            x = graph.node("LeakyRelu", normal, alpha=LEAK)
    return outputs


def _up(graph: _Graph, weights: Weights, below: str, skip: str | None, level: int) -> list[str]:
    """Add one transposed convolution with ReLU and normalisation; return its four phases."""
    weight, bias = weights[f"up{level}.0.weight"], weights[f"up{level}.0.bias"]
    n_skip = 0 if skip is None else weight.shape[0] // 2
    if skip is not None and level not in SPLIT_LEVELS:
        below, skip = graph.node("Concat", skip, below, axis=1), None
        n_skip = 0
    phases = []
    for kernel, pads in phase_kernels(weight):
        y = graph.convolution(below, kernel[:, n_skip:], None if skip else bias, pads)
        if skip is not None:
            y = graph.node("Add", graph.convolution(skip, kernel[:, :n_skip], bias, pads), y)
        phases.append(graph.normalisation(graph.node("Relu", y), weights, f"up{level}.3"))
    return phases


def _last_up(graph: _Graph, weights: Weights, phases: list[str], skip: str) -> str:
    """Add the last transposed convolution, from the four phases before it; return blocks of pixels as
    channels."""
    kernel = block_kernel(weights["up6.0.weight"])
    n_skip = kernel.shape[1] // 2
    bias = np.tile(weights["up6.0.bias"], BLOCK**2)
    y = graph.convolution(skip, kernel[:, :n_skip], bias, [1, 1, 1, 1], 2)
    # Of the rows -1, 0, 1, 2 that a block reads, those of odd number are in the odd phase: the block
    # before and its own.
    for phase, (row, column) in zip(phases, product((0, 1), repeat=2), strict=True):
        part = kernel[:, n_skip:, 1 - row :: 2, 1 - column :: 2]
        y = graph.node("Add", y, graph.convolution(phase, part, None, [row, column, 1 - row, 1 - column]))
    return graph.normalisation(graph.node("Relu", y), weights, "up6.3", BLOCK**2)


def phase_kernels(weight: FloatArray) -> Iterator[tuple[FloatArray, list[int]]]:
    """Yield kernel and padding of the phases of a 5 x 5 transposed convolution, stride 2, cropped by 1 and 2.

    Output j takes input i by tap j - 2 i + 1: even outputs by taps 3 and 1 from inputs -1 and 0, odd ones by
    taps 4, 2 and 0 from inputs -1, 0 and 1. `weight` has shape (inputs, outputs, 5, 5), the kernels
    (outputs, inputs, ..).
    """
    taps = ([3, 1], [4, 2, 0])
    for row, column in product((0, 1), repeat=2):
        kernel = weight[:, :, taps[row]][:, :, :, taps[column]]
        yield kernel.transpose(1, 0, 2, 3), [1, 1, row, column]


def block_kernel(weight: FloatArray) -> FloatArray:
    """Return the kernel, shape (16, inputs, 4, 4), stride 2, that makes blocks of 4 x 4 outputs as channels.

    `weight` is that of a transposed 5 x 5 convolution of stride 2 with one output, cropped by 1 and 2.
    Block m has the outputs 4 m + q; by the rule in `phase_kernels` they take the inputs 2 m + d by tap q
    - 2 d + 1, for d from -1 to 2.
    """
    kernel = np.zeros((BLOCK, BLOCK, weight.shape[0], 4, 4), np.float32)
    for (q_row, q_column), (d_row, d_column) in product(product(range(BLOCK), repeat=2), product(range(4), repeat=2)):
        row, column = q_row - 2 * (d_row - 1) + 1, q_column - 2 * (d_column - 1) + 1
        if 0 <= row < 5 and 0 <= column < 5:
            kernel[q_row, q_column, :, d_row, d_column] = weight[:, 0, row, column]
    return kernel.reshape(BLOCK**2, -1, 4, 4)


def dilated_block_kernel(weight: FloatArray) -> FloatArray:
    """Return the kernel, shape (16 x outputs, 16, 3, 3), of a dilated convolution on blocks of 4 x 4 pixels.

    `weight` has shape (outputs, 1, 4, 4), dilation 2 and padding 3: output 4 m + q takes, by tap t, the
    input 4 m + q + 2 t - 3, which lies in the block before, the same, or the one after.
    """
    outputs = weight.shape[0]
    kernel = np.zeros((BLOCK, BLOCK, outputs, BLOCK, BLOCK, 3, 3), np.float32)
    for (q_row, q_column), (t_row, t_column) in product(product(range(BLOCK), repeat=2), repeat=2):
        block_row, row = divmod(q_row + 2 * t_row - 3, BLOCK)
        block_column, column = divmod(q_column + 2 * t_column - 3, BLOCK)
        kernel[q_row, q_column, :, row, column, block_row + 1, block_column + 1] = weight[:, 0, t_row, t_column]
    return kernel.reshape(BLOCK**2 * outputs, BLOCK**2, 3, 3)
