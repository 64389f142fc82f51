"""The graph of one of Spleeter's U-Nets in ONNX, as a stream, arranged for speed.

A network of convolutions needs no segments. Each layer keeps the few rows (of time) that its next outputs still need,
so a song of any length passes in chunks of `CHUNK_FRAMES`, nothing is computed twice, and the result is that of a
single segment as long as the song. The kept rows are the states of the graph: inputs `x` with outputs `next_x`, all
zero before the first chunk. The output lags 256 frames behind the input: how far the layers look ahead, added up.

The sums are those of a straightforward translation, in another order.
(`tests/fixtures/stand_ins/plain_spleeter.py` is such a translation, for comparison.) It would spend a third of its time
on moving data and on channels that only fill up a vector register. Therefore:

- Each transposed convolution is four plain ones, one for each parity of the output's row and column ("phases").
- Batch normalisation is a convolution of one tap per channel, which onnxruntime keeps in its blocked layout.
- Near the top, where rows are long, halos are computed again instead of being kept, because joining rows costs more.
- The last transposed convolution makes one channel. It reads the four phases before it without interleaving them, and
  makes blocks of 4 x 4 pixels as 16 channels. The dilated convolution that follows works on the same blocks.

A. Jansson et al., "Singing Voice Separation with Deep U-Net Convolutional Networks", ISMIR 2017. R. Hennequin et al.,
"Spleeter: a fast and efficient music source separation tool with pre-trained models", JOSS 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from worker.engines.interface import FloatArray
from worker.model_setup.unet.kernels import BLOCK, block_kernel, dilated_block_kernel, phase_kernels
from worker.model_setup.unet.spleeter import BINS, CHANNELS, CHUNK_FRAMES
from worker.model_setup.unet.stream_graph import StreamGraph

Weights = Mapping[str, FloatArray]

LEVELS = 6

LEAK = 0.2
VARIANCE_FLOOR = 1e-3
PADS_DOWN = [0, 1, 0, 2]

INPUT_HISTORY = 267
"""Frames of the input that are kept. The topmost skip connection, which is computed again from them, is furthest
behind."""

TOPMOST_FRAMES = 19
"""How many frames more than a chunk the topmost skip connection is computed from."""

DOWN_HALO = 23
"""How many frames before a chunk the levels 1 to 3 start, so that only their input must be kept."""

TOP_ROWS = 5
"""How many rows more than a chunk the levels 5 to 7 of the way up start with, for the same reason."""

SPLIT_LEVELS = (4, 5)
"""Levels where the skip and the path below are convolved separately. Joining them would cost more than that."""


MAGNITUDES_SHAPE = [1, CHANNELS, CHUNK_FRAMES, BINS]


def build_network(weights: Weights) -> tuple[StreamGraph, str]:
    """Return the network and the name of its output, the gains.

    It turns `magnitudes`, shape `MAGNITUDES_SHAPE`, into `gains` of the same shape, from 0 to 1. Raises KeyError if an
    array is missing from the weights.
    """
    graph = StreamGraph()
    history = graph.state("input", (CHANNELS, INPUT_HISTORY, BINS))
    kept = graph.node("Concat", graph.rows(history, CHUNK_FRAMES, INPUT_HISTORY), "magnitudes", axis=2)
    graph.replace("input", kept)
    rows = CHUNK_FRAMES // 2**LEVELS
    downs = _way_down(graph, weights, history)
    bottom = graph.joined("bottom", downs[LEVELS], (512, 2, 16))
    graph.keep("bottom", bottom, rows, 2)
    y = _interleaved(graph, _phases(graph, weights, 1, [(bottom, 0)], rows))
    for level in range(2, LEVELS - 1):
        rows *= 2
        y = _interleaved(graph, _level_up(graph, weights, level, skip=downs[LEVELS + 1 - level], below=y, rows=rows))
    return graph, _top(graph, weights, history, skip=downs[2], below=y, rows=rows * 2)


def _way_down(graph: StreamGraph, weights: Weights, history: str) -> dict[int, str]:
    """Add the six convolutions of stride 2; return the output of each from level 2 on, before its normalisation.

    Levels 1 and 2 have 9 and 3 rows more than their share of a chunk: the rows before it, computed again.
    """
    before = graph.rows(history, INPUT_HISTORY - DOWN_HALO, INPUT_HISTORY)
    # The last two frames are needed only by rows that wait for the next chunk.
    x = graph.node("Concat", before, graph.rows("magnitudes", 0, CHUNK_FRAMES - 2), axis=2)
    scale, shift = normalisation(weights, "down1_act.0")
    weight, bias = weights["down1_conv.1.weight"], weights["down1_conv.1.bias"]
    # This level is not needed before its normalisation, so the normalisation becomes part of the kernel.
    y = graph.convolution(x, weight * scale[:, None, None, None], bias * scale + shift, PADS_DOWN, 2)
    x = graph.node("LeakyRelu", y, alpha=LEAK)
    outputs = {}
    for level in range(2, LEVELS + 1):
        name = f"down{level}_conv.1"
        outputs[level] = graph.convolution(x, weights[f"{name}.weight"], weights[f"{name}.bias"], PADS_DOWN, 2)
        if level == LEVELS:
            break
        normal = _normalised(graph, outputs[level], weights, f"down{level}_act.0")
        x = graph.node("LeakyRelu", normal, alpha=LEAK)
        if level >= 3:
            channels = weights[f"{name}.weight"].shape[0]
            x = graph.joined(f"down{level}", x, (channels, 3, BINS // 2**level))
            graph.keep(f"down{level}", x, CHUNK_FRAMES // 2**level, 3)
    return outputs


def _level_up(graph: StreamGraph, weights: Weights, level: int, *, skip: str, below: str, rows: int) -> list[str]:
    """Add one transposed convolution of the skip and the path below; return its four phases of `rows` rows.

    The path below lags behind the skip by as much as the levels below look ahead.
    """
    channels, bins = weights[f"up{level}.0.weight"].shape[0] // 2, 16 * 2 ** (level - 1)
    lag = 2**level * 2 - 2
    skip = graph.delayed(f"skip{level}", skip, (channels, lag, bins), rows, rows + 2)
    below = graph.joined(f"below{level}", below, (channels, 2, bins))
    graph.keep(f"below{level}", below, rows, 2)
    if level in SPLIT_LEVELS:
        parts = [(skip, 0), (below, channels)]
    else:
        parts = [(graph.node("Concat", skip, below, axis=1), 0)]
    return _phases(graph, weights, level, parts, rows)


def _phases(graph: StreamGraph, weights: Weights, level: int, parts: list[tuple[str, int]], rows: int) -> list[str]:
    """Add a transposed convolution of rows + 2 rows, ReLU and normalisation; return four phases of `rows` rows.

    `parts` are the inputs, each with the number of the first channel of the kernel that belongs to it.
    """
    weight, bias = weights[f"up{level}.0.weight"], weights[f"up{level}.0.bias"]
    # Even rows look at two inputs only and must not see the last one.
    heads = {x: graph.rows(x, 0, rows + 1) for x, _ in parts}
    phases = []
    for kernel, (row, column) in phase_kernels(weight):
        inputs = [(x if row else heads[x], first) for x, first in parts]
        y = graph.summed(inputs, kernel, bias, [0, 1, 0, column])
        phases.append(_normalised(graph, graph.node("Relu", y), weights, f"up{level}.3"))
    return phases


def _interleaved(graph: StreamGraph, phases: list[str]) -> str:
    """Join four phases to one tensor, by putting each pixel in its place."""
    return graph.node("DepthToSpace", graph.node("Concat", *phases, axis=1), blocksize=2, mode="DCR")


def _top(graph: StreamGraph, weights: Weights, history: str, *, skip: str, below: str, rows: int) -> str:
    """Add the two topmost transposed convolutions and the dilated one; return the gains.

    All of it works on rows of four frames, and starts with `TOP_ROWS` rows more than it ends with.
    """
    lag = 2**LEVELS - 2
    skip = graph.delayed("skip5", skip, (32, lag, BINS // 4), rows, rows + TOP_ROWS)
    below = graph.joined("below5", below, (32, TOP_ROWS, BINS // 4))
    graph.keep("below5", below, rows, TOP_ROWS)
    phases = []
    bias = weights["up5.0.bias"]
    for kernel, (_, column) in phase_kernels(weights["up5.0.weight"]):
        y = graph.summed([(skip, 0), (below, 32)], kernel, bias, [0, 1, 0, column])
        phases.append(_normalised(graph, graph.node("Relu", y), weights, "up5.3"))
    blocks = _last_up(graph, weights, phases, _topmost_skip(graph, weights, history))
    bias = np.tile(weights["up7.0.bias"], BLOCK**2)
    y = graph.convolution(blocks, dilated_block_kernel(weights["up7.0.weight"]), bias, [0, 1, 0, 1])
    y = graph.node("DepthToSpace", graph.node("Sigmoid", y), blocksize=BLOCK, mode="DCR")
    # The first block saw a row that exists only in the padding of an odd phase.
    return graph.rows(y, BLOCK, BLOCK * (rows + 1))


def _topmost_skip(graph: StreamGraph, weights: Weights, history: str) -> str:
    """Compute level 1 of the way down again where the way up needs it, a chunk later. Keeping it would cost more."""
    ahead = CHUNK_FRAMES + TOPMOST_FRAMES - INPUT_HISTORY
    if ahead > 0:
        x = graph.node("Concat", history, graph.rows("magnitudes", 0, ahead), axis=2)
    else:
        x = graph.rows(history, 0, CHUNK_FRAMES + TOPMOST_FRAMES)
    return graph.convolution(x, weights["down1_conv.1.weight"], weights["down1_conv.1.bias"], PADS_DOWN, 2)


def _last_up(graph: StreamGraph, weights: Weights, phases: list[str], skip: str) -> str:
    """Add the last transposed convolution, from the four phases before it; return blocks of pixels as channels."""
    kernel = block_kernel(weights["up6.0.weight"])
    n_skip = kernel.shape[1] // 2
    y = graph.convolution(skip, kernel[:, :n_skip], np.tile(weights["up6.0.bias"], BLOCK**2), [0, 1, 0, 1], 2)
    # A block reads the rows -1, 0, 1 and 2. Those with odd numbers are in the odd phase: of the block before and of its
    # own. An odd phase has one row less, which the padding replaces.
    for phase, (row, column) in zip(phases, product((0, 1), repeat=2), strict=True):
        part = kernel[:, n_skip:, 1 - row :: 2, 1 - column :: 2]
        y = graph.node("Add", y, graph.convolution(phase, part, None, [row, column, 0, 1 - column]))
    return _normalised(graph, graph.node("Relu", y), weights, "up6.3", BLOCK**2)


def _normalised(graph: StreamGraph, x: str, weights: Weights, name: str, repeats: int = 1) -> str:
    """Add a trained batch normalisation: a factor and a term for each channel."""
    scale, shift = normalisation(weights, name)
    return graph.scaled(x, np.tile(scale, repeats), np.tile(shift, repeats))


def normalisation(weights: Weights, name: str) -> tuple[FloatArray, FloatArray]:
    """Return the factor and the term of each channel to which a trained batch normalisation amounts."""
    scale = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + VARIANCE_FLOOR)
    return scale, weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale
