"""One of Spleeter's U-Nets as a plan of layers in bfloat16. It computes the same sums as `spleeter_graph`.

Each level of the U is a ring of rows that holds the skip and, as further channels, what comes up from below. Both are
written where they belong, so nothing has to be joined. A convolution of the way down reads 5 rows, and in each row 5
bins with all their channels side by side. Each phase of a transposed convolution reads 2 or 3 rows. The last two layers
work on blocks of 4 x 4 pixels as channels (see `kernels`).

Rows are counted from the beginning of the track: frames at level 0, and half as many at each further level. After the
first chunk the way down has reached row -2 + (rows in a chunk) of every level. Each level of the way up waits for twice
as many rows as the level below it, plus two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.interface import FloatArray
from worker.engines.unet.bfloat16.plan import (
    GAINS,
    INPUT,
    LANES,
    Layer,
    NetworkPlan,
    Ring,
    packed_kernel,
    packed_table,
    write_plan,
)
from worker.model_setup.unet.kernels import BLOCK, block_kernel, dilated_block_kernel, phase_kernels
from worker.model_setup.unet.spleeter import BINS, CHANNELS, CHUNK_FRAMES, DELAY_FRAMES
from worker.model_setup.unet.spleeter_graph import LEAK, LEVELS, Weights, normalisation

WAIT_DOWN = 2
"""How many rows every level of the way down lags behind its input."""

ALIGNMENT = 64
"""In bytes: the numbers of a layer start at a line of the processor's cache."""


def write_network(weights: Weights, path: Path) -> None:
    """Write the plan of a network and its file of numbers. Raises KeyError if an array is missing from the weights."""
    numbers = _Numbers()
    layers = [*_way_down(weights, numbers), *_way_up(weights, numbers), *_top(weights, numbers)]
    path.with_suffix(".numbers").write_bytes(numbers.data)
    write_plan(path, NetworkPlan(_rings(), tuple(layers), path.with_suffix(".numbers").name))


class _Numbers:
    """The content of the file of numbers, as layers are added."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add_layer(self, kernel: FloatArray, bias: FloatArray, **following: Any) -> dict[str, Any]:
        """Add a layer's kernel, shape (outputs, inputs, rows, bins), and its table; return the `Layer` fields for them.

        `following` is what follows the sum: `floor`, `factor`, `term` and `slope`, each a number or one per output.
        """
        outputs, _, row_taps, bin_taps = kernel.shape
        registers = 1 if outputs == LANES else 2
        columns = {"floor": -np.inf, "factor": 1, "term": 0, "slope": 1} | following
        table = np.stack([np.broadcast_to(np.float32(column), outputs) for column in (bias, *columns.values())])
        return {
            "registers": registers,
            "blocks": outputs // (LANES * registers),
            "row_taps": row_taps,
            "bin_taps": bin_taps,
            "weights_at": self._append(packed_kernel(kernel, registers)),
            "table_at": self._append(packed_table(table, registers)),
        }

    def _append(self, values: NDArray[Any]) -> int:
        self.data.extend(bytes(-len(self.data) % ALIGNMENT))
        at = len(self.data)
        self.data.extend(values.tobytes())
        return at


def _rows(level: int) -> int:
    return CHUNK_FRAMES >> level


def _channels(level: int) -> int:
    return 8 << level


def _wait(level: int) -> int:
    """Return how many rows a level of the way up lags behind the input."""
    return WAIT_DOWN if level == LEVELS else 2 * (_wait(level + 1) + 1)


def _rings() -> dict[str, Ring]:
    """Return all rings. Each has as many rows as lie between the oldest row that is still read and the newest."""
    rings = {INPUT: Ring(CHUNK_FRAMES + 2 * WAIT_DOWN + 1, BINS, CHANNELS, 1, 2)}
    for level in range(1, LEVELS):
        rings[f"down{level}"] = Ring(_rows(level) + WAIT_DOWN + 1, BINS >> level, _channels(level), 1, 2)
        rings[f"level{level}"] = Ring(_rows(level) + _wait(level), BINS >> level, 2 * _channels(level), 1, 1)
    rings[f"level{LEVELS}"] = Ring(_rows(LEVELS) + WAIT_DOWN, BINS >> LEVELS, _channels(LEVELS), 1, 1)
    # The topmost blocks start three frames early, because a block has four.
    rings["level1"] = Ring(_rows(1) + DELAY_FRAMES // 2 - 1, BINS >> 1, 2 * _channels(1), 1, 1)
    rings["blocks"] = Ring(CHUNK_FRAMES // BLOCK + 2, BINS // BLOCK, BLOCK**2, 1, 1)
    return rings


def _way_down(weights: Weights, numbers: _Numbers) -> list[Layer]:
    layers = []
    for level in range(1, LEVELS + 1):
        name, bias = f"down{level}_conv.1", weights[f"down{level}_conv.1.bias"]
        following: dict[str, Any] = {}
        if level < LEVELS:
            factor, term = normalisation(weights, f"down{level}_act.0")
            following = {"factor": factor, "term": term, "slope": LEAK}
        layers.append(
            Layer(
                source=INPUT if level == 1 else f"down{level - 1}",
                sums=f"level{level}",
                target=f"down{level}" if level < LEVELS else None,
                first=-WAIT_DOWN,
                rows=_rows(level),
                advance=_rows(level),
                bins=BINS >> level,
                row_stride=2,
                bin_stride=2,
                **numbers.add_layer(weights[f"{name}.weight"], bias, **following),
            )
        )
    return layers


def _way_up(weights: Weights, numbers: _Numbers) -> list[Layer]:
    layers = []
    for level in range(LEVELS, 1, -1):
        name = f"up{LEVELS + 1 - level}"
        factor, term = normalisation(weights, f"{name}.3")
        for kernel, (row, column) in phase_kernels(weights[f"{name}.0.weight"]):
            layers.append(
                Layer(
                    source=f"level{level}",
                    sums=None,
                    target=f"level{level - 1}",
                    first=-_wait(level) - 1,
                    rows=_rows(level),
                    advance=_rows(level),
                    bins=BINS >> level,
                    row_scale=2,
                    row_phase=row,
                    bin_scale=2,
                    bin_phase=column,
                    channel=_channels(level - 1),
                    **numbers.add_layer(kernel, weights[f"{name}.0.bias"], floor=0, factor=factor, term=term),
                )
            )
    return layers


def _top(weights: Weights, numbers: _Numbers) -> list[Layer]:
    """Return the last transposed convolution and the dilated one, both on blocks.

    The newest block lacks the row that its last frame reads. No gain needs that frame yet, and the next chunk computes
    the block again.
    """
    rows, bins, first = CHUNK_FRAMES // BLOCK, BINS // BLOCK, -DELAY_FRAMES // BLOCK
    factor, term = (np.tile(values, BLOCK**2) for values in normalisation(weights, "up6.3"))
    bias = np.tile(weights["up6.0.bias"], BLOCK**2)
    up = numbers.add_layer(block_kernel(weights["up6.0.weight"]), bias, floor=0, factor=factor, term=term)
    dilated = dilated_block_kernel(weights["up7.0.weight"])
    # One register for each channel of the result.
    by_channel = dilated.reshape(BLOCK**2, CHANNELS, *dilated.shape[1:]).swapaxes(0, 1).reshape(dilated.shape)
    last = numbers.add_layer(by_channel, np.repeat(weights["up7.0.bias"], BLOCK**2))
    shared: dict[str, Any] = {"sums": None, "first": first, "advance": rows, "bins": bins}
    return [
        Layer(source="level1", target="blocks", rows=rows + 1, row_stride=2, bin_stride=2, **shared, **up),
        Layer(source="blocks", target=GAINS, rows=rows, **shared, **last),
    ]
