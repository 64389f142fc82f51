"""A network in bfloat16: runs the layers of its plan, chunk after chunk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.errors import EngineUnavailableError
from worker.engines.interface import FloatArray
from worker.engines.unet.bfloat16.plan import GAINS, INPUT, Layer, NetworkPlan, read_plan
from worker.engines.unet.bfloat16.tiles import Geometry, convolve, convolve_to_blocks, write_rows

POSITION = "position"
"""The state that counts the chunks. All other states are rings."""

LARGEST_EXPONENT = 80
"""Its exponential still fits float32. Beyond it the sigmoid is 0 in float32 anyway."""

Rings = Mapping[str, NDArray[Any]]


class Bfloat16Network:
    """A network whose states are rings, which each step changes in place.

    Parameters
    ----------
    path
        The plan. Raises EngineUnavailableError if it, or the file of numbers beside it, cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._plan = read_plan(path)
        try:
            # Memory-mapped, so processes share it.
            numbers = np.asarray(np.memmap(path.parent / Path(self._plan.numbers).name, np.uint8, "r"))
        except (OSError, ValueError) as error:
            raise EngineUnavailableError(f"{self._plan.numbers} cannot be read; set the model up again.") from error
        self._plan.check_bounds(numbers.size)
        self._layers = [_LoadedLayer(layer, self._plan, numbers) for layer in self._plan.layers]

    def empty_states(self) -> Rings:
        """Return states of zeros, as before the first chunk."""
        rings = {name: np.zeros((ring.rows, ring.width), np.uint16) for name, ring in self._plan.rings.items()}
        return {**rings, POSITION: np.zeros(1, np.int64)}

    def step(self, magnitudes: FloatArray, states: Rings) -> tuple[FloatArray, Rings]:
        """Return the gains of a chunk and the states for the next chunk.

        Parameters
        ----------
        magnitudes : ndarray, shape (channels, frames, bins), float32
            Raises ValueError if the shape is not that of the plan.
        states
            Changed in place.

        Returns
        -------
        gains : ndarray, of the same shape, float32
            From 0 to 1.
        states
            The given states.
        """
        if magnitudes.shape != self._plan.chunk_shape:
            raise ValueError(f"A chunk has the shape {self._plan.chunk_shape}, not {magnitudes.shape}.")
        chunk = int(states[POSITION][0])
        bits = np.ascontiguousarray(magnitudes, np.float32).view(np.uint32)
        first_bin = self._plan.rings[INPUT].zeros_before
        write_rows(bits, states[INPUT].view(np.uint32), chunk * bits.shape[1], first_bin)
        gains = np.empty_like(magnitudes)
        for layer in self._layers:
            layer.compute_rows(chunk, states, gains)
        states[POSITION][0] = chunk + 1
        return _sigmoid(gains), states


class _LoadedLayer:
    """A layer with its numbers and the geometry that the compiled loops need."""

    def __init__(self, layer: Layer, plan: NetworkPlan, numbers: NDArray[np.uint8]) -> None:
        self._layer = layer
        self._weights, self._table = numbers[layer.weights_at :], numbers[layer.table_at :]
        self._geometry = _geometry_of(layer, plan)

    def compute_rows(self, chunk: int, states: Rings, gains: FloatArray) -> None:
        """Compute the rows of a chunk from the source ring, and write them to the layer's rings or to `gains`."""
        layer, geometry = self._layer, self._geometry
        source, start = states[layer.source], layer.first + chunk * layer.advance
        if layer.target == GAINS:
            convolve_to_blocks(source, self._weights, self._table, gains, start, geometry)
            return
        no_ring = source[:0]
        sums = no_ring if layer.sums is None else states[layer.sums]
        target = no_ring if layer.target is None else states[layer.target]
        convolve(source, self._weights, self._table, sums, target, layer.registers == 2, start, geometry)


def _geometry_of(layer: Layer, plan: NetworkPlan) -> Geometry:
    channels = plan.rings[layer.source].channels
    sums_at, sums_step = _place_in_row(layer, plan, layer.sums)
    target_at, target_step = _place_in_row(layer, plan, layer.target)
    return Geometry(
        rows=layer.rows,
        bins=layer.bins,
        blocks=layer.blocks,
        row_taps=layer.row_taps,
        row_stride=layer.row_stride,
        row_offset=layer.row_offset,
        pairs=layer.bin_taps * channels // 2,
        source_step=2 * channels * layer.bin_stride,
        row_scale=layer.row_scale,
        row_phase=layer.row_phase,
        sums_step=sums_step,
        sums_at=sums_at,
        target_step=target_step,
        target_at=target_at,
    )


def _place_in_row(layer: Layer, plan: NetworkPlan, name: str | None) -> tuple[int, int]:
    """Return where in a row of a ring a layer's results begin, and the step from bin to bin, in bytes."""
    if name is None or name == GAINS:
        return 0, 0
    ring = plan.rings[name]
    first_number = (ring.zeros_before + layer.bin_phase) * ring.channels + layer.channel
    return 2 * first_number, 2 * ring.channels * layer.bin_scale


def _sigmoid(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)), computed in place."""
    np.negative(x, out=x)
    np.minimum(x, LARGEST_EXPONENT, out=x)
    np.exp(x, out=x)
    x += 1
    return np.reciprocal(x, out=x)
