"""The plan of a network: its tensors, its layers, and where in a file the numbers of each lie.

Owns the format of the plan and of the packed numbers. A tensor is a ring of rows, of which row r lies in slot r
modulo the ring's rows; a layer makes rows of one ring from rows of another. So nothing is ever moved or joined: what a
layer still needs of former chunks lies where it was written.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker.engine.errors import EngineUnavailableError
from worker.engine.interface import FloatArray

PLAN_FORMAT = 1
"""Raised when a field changes its meaning."""

INPUT, GAINS = "magnitudes", "gains"
"""The ring that each chunk is written to, and the target that is no ring: the result, blocks of 4 x 4 pixels."""

LANES = 16
"""Numbers of 32 bits in a vector register: output channels that are computed at once."""

ACCUMULATORS = 16
"""Registers that add up at once: a tile of a row is that many pixels, or half with two registers of channels each."""

TABLE_ROWS = 5
"""What each output channel has beside its kernel: bias, floor, factor, term and slope."""


@dataclass(frozen=True)
class Ring:
    """The last rows of a tensor in bfloat16: bins with so many zeros before and after, each with its channels."""

    rows: int
    bins: int
    channels: int
    zeros_before: int
    zeros_after: int

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return (self.zeros_before + self.bins + self.zeros_after) * self.channels


@dataclass(frozen=True)
class Layer:
    """A convolution, and what follows it: x = max(sum + bias, floor) x factor + term; max(x, slope x).

    For each chunk n it makes `rows` rows from row `first + n advance` on, of `bins` bins. Row r reads `row_taps` rows
    from `r row_stride + row_offset` on; bin b reads `bin_taps` bins from `b bin_stride` on, counted with the ring's
    zeros. Sums (with their bias) go to the ring `sums`, what follows to `target`; either may be None. There row r
    becomes `r row_scale + row_phase`, bins likewise, and channels begin at `channel`. `registers` of channels are
    computed at once, `blocks` times. `weights_at` and `table_at` are places in the file, in bytes.
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
class Plan:
    """A network as rings and layers, in the order in which they run. `numbers` names the file beside the plan."""

    rings: dict[str, Ring]
    layers: tuple[Layer, ...]
    numbers: str

    @property
    def chunk_shape(self) -> tuple[int, int, int]:
        """Channels, frames and bins of a chunk's magnitudes, and of its gains."""
        last = self.layers[-1]
        return self.rings[INPUT].channels, 4 * last.rows, 4 * last.bins

    def check(self, numbers_size: int) -> None:
        """Raise EngineUnavailableError unless every layer stays within its rings and the numbers.

        The compiled loops look at no bounds.
        """
        try:
            sound = self._is_sound(numbers_size)
        except (LookupError, TypeError):
            sound = False
        if not sound:
            raise EngineUnavailableError("The plan of a network does not fit together; set the model up again.")

    def _is_sound(self, numbers_size: int) -> bool:
        channels, frames, bins = self.chunk_shape
        source = self.rings[INPUT]
        return (
            (channels, bins) == (2, source.bins)
            and frames <= source.rows
            and all(min(ring.rows, ring.channels) > 0 and ring.channels % 2 == 0 for ring in self.rings.values())
            and all(min(ring.zeros_before, ring.zeros_after) >= 0 for ring in self.rings.values())
            and all(self._fits(layer, numbers_size) for layer in self.layers)
            and all((layer.target == GAINS) == (layer is self.layers[-1]) for layer in self.layers)
        )

    def _fits(self, layer: Layer, numbers_size: int) -> bool:
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
                (layer.bins - 1) * layer.bin_scale + layer.bin_phase < self.rings[name].bins
                and layer.channel + outputs <= self.rings[name].channels
                for name in (layer.sums, layer.target)
                if name not in {None, GAINS}
            )
        )


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan as JSON."""
    path.write_text(json.dumps({"format": PLAN_FORMAT, **asdict(plan)}, indent=1) + "\n", encoding="utf-8")


def read_plan(path: Path) -> Plan:
    """Return the plan in a file. Raises EngineUnavailableError if it is of another format."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != PLAN_FORMAT:
            raise ValueError("another format")  # noqa: TRY301 - told like every other fault of the file
        rings = {name: Ring(**ring) for name, ring in document["rings"].items()}
        return Plan(rings, tuple(Layer(**layer) for layer in document["layers"]), document["numbers"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EngineUnavailableError(f"{path.name} is no plan of this version; set the model up again.") from error


def to_bfloat16(x: FloatArray) -> NDArray[np.uint16]:
    """Return the nearest bfloat16 numbers, as their bits; of two equally near ones the even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def packed_kernel(kernel: FloatArray, registers: int) -> NDArray[np.uint16]:
    """Return a kernel, shape (outputs, inputs, rows, bins), in the order in which a tile reads it.

    For each block of output channels, row and pair of inputs (channels within bins) there are the pairs of 16 output
    channels, register by register.
    """
    _, inputs, rows, bins = kernel.shape
    runs = kernel.transpose(0, 2, 3, 1).reshape(-1, registers, LANES, rows, bins * inputs // 2, 2)
    return to_bfloat16(runs.transpose(0, 3, 4, 1, 2, 5)).ravel()


def packed_table(table: FloatArray, registers: int) -> FloatArray:
    """Return a table, shape (TABLE_ROWS, outputs), in the order in which a tile reads it: block by block."""
    blocks = table.reshape(TABLE_ROWS, -1, registers * LANES)
    return np.ascontiguousarray(blocks.transpose(1, 0, 2)).ravel()
