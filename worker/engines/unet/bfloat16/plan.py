"""The plan of a network: its tensors, its layers, and where their numbers lie in a file.

A tensor is a ring buffer of rows: row r lies in slot r modulo the number of rows. A layer computes rows of one ring
from rows of another. So no row is ever moved or copied: what a layer still needs of earlier chunks lies where it was
written.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.engines.errors import EngineUnavailableError
from worker.engines.interface import FloatArray

PLAN_FORMAT = 1
"""Raise this when a field changes its meaning."""

INPUT, GAINS = "magnitudes", "gains"
"""The ring that receives each chunk, and the target that is not a ring: the result, as blocks of 4 x 4 pixels."""

LANES = 16
"""32-bit numbers in a vector register: the number of output channels that are computed at once."""

ACCUMULATORS = 16
"""Registers that accumulate at once. With one register of channels a tile has that many pixels, with two half of it."""

TABLE_ROWS = 5
"""Numbers that each output channel has besides its kernel: bias, floor, factor, term and slope."""


@dataclass(frozen=True)
class Ring:
    """The last rows of a tensor in bfloat16.

    A row holds its bins, with zero bins before and after them. A bin holds its channels.
    """

    rows: int
    bins: int
    channels: int
    zeros_before: int
    zeros_after: int

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return (self.zeros_before + self.bins + self.zeros_after) * self.channels

    @property
    def is_sound(self) -> bool:
        """Whether the numbers make sense. The loops read pairs of channels, so their number must be even."""
        zeros_are_sound = min(self.zeros_before, self.zeros_after) >= 0
        return min(self.rows, self.channels) > 0 and self.channels % 2 == 0 and zeros_are_sound


@dataclass(frozen=True)
class Layer:
    """A convolution and what follows it: x = max(sum + bias, floor) * factor + term, then max(x, slope * x).

    For chunk n the layer computes `rows` rows of `bins` bins, from row `first + n * advance`. Row r reads `row_taps`
    rows of the ring `source` from row `r * row_stride + row_offset`. Bin b reads `bin_taps` bins from bin
    `b * bin_stride`, where the zeros of the ring count as bins.

    The ring `sums` receives the sums with their bias, the ring `target` the final x; either may be None. In them row r
    becomes row `r * row_scale + row_phase`, bins likewise, and the channels begin at `channel`. A block is `registers`
    times 16 output channels; there are `blocks` blocks. `weights_at` and `table_at` are places in the file, in bytes.
    """

    source: str
    sums: str | None
    target: str | None
    first: int
    rows: int
    advance: int
    bins: int
    registers: int
    blocks: int
    row_taps: int
    bin_taps: int
    row_stride: int = 1
    row_offset: int = -1
    bin_stride: int = 1
    row_scale: int = 1
    row_phase: int = 0
    bin_scale: int = 1
    bin_phase: int = 0
    channel: int = 0
    weights_at: int = 0
    table_at: int = 0


@dataclass(frozen=True)
class NetworkPlan:
    """A network: its rings, and its layers in the order in which they run. `numbers` names the file beside the plan."""

    rings: dict[str, Ring]
    layers: tuple[Layer, ...]
    numbers: str

    @property
    def chunk_shape(self) -> tuple[int, int, int]:
        """The shape (channels, frames, bins) of a chunk's magnitudes and gains."""
        last = self.layers[-1]
        return self.rings[INPUT].channels, 4 * last.rows, 4 * last.bins

    def check_bounds(self, numbers_size: int) -> None:
        """Raise EngineUnavailableError unless every layer stays within its rings and the file of numbers.

        The compiled loops check no bounds.
        """
        try:
            sound = self._is_sound(numbers_size)
        except (LookupError, TypeError):
            sound = False
        if not sound:
            raise EngineUnavailableError("The plan of a network is not consistent; set the model up again.")

    def _is_sound(self, numbers_size: int) -> bool:
        channels, frames, bins = self.chunk_shape
        source = self.rings[INPUT]
        return (
            (channels, bins) == (2, source.bins)
            and frames <= source.rows
            and all(ring.is_sound for ring in self.rings.values())
            and all(self._fits(layer, numbers_size) for layer in self.layers)
            and all((layer.target == GAINS) == (layer is self.layers[-1]) for layer in self.layers)
        )

    def _fits(self, layer: Layer, numbers_size: int) -> bool:
        """Return whether a layer reads and writes only what there is."""
        source, outputs = self.rings[layer.source], LANES * layer.registers * layer.blocks
        weights = 2 * outputs * layer.row_taps * layer.bin_taps * source.channels
        counts = (layer.rows, layer.bins, layer.blocks, layer.row_taps, layer.bin_taps)
        places = (layer.bin_stride, layer.bin_scale, layer.bin_phase, layer.channel, layer.weights_at, layer.table_at)
        return (
            layer.registers in {1, 2}
            and min(counts) > 0
            and min(places) >= 0
            and layer.bins % (ACCUMULATORS // layer.registers) == 0
            and ((layer.bins - 1) * layer.bin_stride + layer.bin_taps) * source.channels <= source.width
            and layer.weights_at + weights <= numbers_size
            and layer.table_at + 4 * TABLE_ROWS * outputs <= numbers_size
            and (layer.target != GAINS or (layer.registers, layer.blocks, layer.sums) == (2, 1, None))
            and all(
                self._holds_results(self.rings[name], layer, outputs)
                for name in (layer.sums, layer.target)
                if name is not None and name != GAINS
            )
        )

    @staticmethod
    def _holds_results(ring: Ring, layer: Layer, outputs: int) -> bool:
        last_bin = (layer.bins - 1) * layer.bin_scale + layer.bin_phase
        return last_bin < ring.bins and layer.channel + outputs <= ring.channels


def write_plan(path: Path, plan: NetworkPlan) -> None:
    """Write a plan as JSON."""
    path.write_text(json.dumps({"format": PLAN_FORMAT, **asdict(plan)}, indent=1) + "\n", encoding="utf-8")


def read_plan(path: Path) -> NetworkPlan:
    """Return the plan in a file. Raises EngineUnavailableError if the file is missing or has another format."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != PLAN_FORMAT:
            raise ValueError("another format")  # noqa: TRY301 - reported like every other fault of the file
        rings = {name: Ring(**ring) for name, ring in document["rings"].items()}
        return NetworkPlan(rings, tuple(Layer(**layer) for layer in document["layers"]), document["numbers"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EngineUnavailableError(f"{path.name} is not a plan of this version; set the model up again.") from error


def to_bfloat16(x: FloatArray) -> NDArray[np.uint16]:
    """Return the nearest bfloat16 numbers as their bits, of the same shape, uint16. Ties go to the even number."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def packed_kernel(kernel: FloatArray, registers: int) -> NDArray[np.uint16]:
    """Return a kernel, shape (outputs, inputs, rows, bins), flat and in the order in which a tile reads it.

    The order is: block of output channels, row of the kernel, pair of inputs (channels within bins), register. For each
    there are the pairs of weights of 16 output channels.
    """
    _, inputs, rows, bins = kernel.shape
    runs = kernel.transpose(0, 2, 3, 1).reshape(-1, registers, LANES, rows, bins * inputs // 2, 2)
    return to_bfloat16(runs.transpose(0, 3, 4, 1, 2, 5)).ravel()


def packed_table(table: FloatArray, registers: int) -> FloatArray:
    """Return a table, shape (TABLE_ROWS, outputs), flat and in the order in which a tile reads it: block by block."""
    blocks = table.reshape(TABLE_ROWS, -1, registers * LANES)
    return np.ascontiguousarray(blocks.transpose(1, 0, 2)).ravel()
