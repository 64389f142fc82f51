"""The compiled loops of a convolution in bfloat16.

A layer is computed row by row, and each row tile by tile. A tile is a few neighbouring pixels of one row, with 16 or 32
output channels; its sums are held in 16 vector registers, one for each pixel and each 16 channels. For each pair of
inputs the processor's instruction `vdpbf16ps` multiplies the pair of one pixel with the weights of 16 output channels
and adds the products to that pixel's register. Sixteen independent sums keep the processor busy while it waits for the
results of earlier instructions: it can start two of these instructions in each cycle.

tile_code.py writes the instructions of a tile. The loops here are plain numba: they compute the addresses and call a
tile (`convolve`, `convolve_to_blocks`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from worker.engines.unet.bfloat16.plan import ACCUMULATORS, LANES, TABLE_ROWS
from worker.engines.unet.bfloat16.tile_code import FOUR_WORDS, I64, SUMS, VECTOR_BYTES, Reads, TileCode

TILE_CODE_SHA256 = "9d692f8aa6f8ae35050812fd548e5568a49ca556089dbcffb5fe09dcda72af6d"
"""The digest of tile_code.py. numba decides by this file alone whether a cached loop is current, so a change of the
other file must change this one. A test compares the digest."""

BLOCK = 4
"""Pixels along each side of the blocks that `convolve_to_blocks` writes."""


class Geometry(NamedTuple):
    """What the loops need to know of a layer. Steps (`_step`) and places (`_at`) are in bytes."""

    rows: int
    bins: int
    blocks: int
    row_taps: int
    row_stride: int
    row_offset: int
    pairs: int
    source_step: int
    row_scale: int
    row_phase: int
    sums_step: int
    sums_at: int
    target_step: int
    target_at: int


def _make_tile(channels: int, write_results: Callable[..., None]) -> Any:
    """Return a function, callable from numba, that computes a tile's sums and hands them to `write_results`.

    `channels` is the number of vectors of output channels per pixel, 1 or 2. The function takes two tuples of 64-bit
    integers: the fields of `Reads`, and the places that `write_results` needs.
    """

    @intrinsic
    def tile(_typing: Any, _reads: Any, _places: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            code = TileCode(builder)
            values, places = ([builder.extract_value(all_, n) for n in range(all_.type.count)] for all_ in arguments)
            reads = Reads(*values)
            biases = [code.load(code.add(reads.table, VECTOR_BYTES * z), SUMS) for z in range(channels)]
            results = code.accumulate(reads, [biases] * (ACCUMULATORS // channels))
            write_results(code, results, reads.table, places)
            return context.get_dummy_value()

        return types.void(types.UniTuple(types.int64, 7), types.UniTuple(types.int64, 4)), generate

    return tile


def _write_to_rings(code: TileCode, results: Any, table: Any, places: Sequence[Any]) -> None:
    """Store a tile's sums in one ring, and what the layer makes of them in another. The address 0 means no ring."""
    b, channels = code.builder, len(results[0])
    sums_at, sums_step, target_at, target_step = places
    floor, factor, term, slope = (
        [code.load(code.add(table, VECTOR_BYTES * (row * channels + z)), SUMS) for z in range(channels)]
        for row in range(1, TABLE_ROWS)
    )
    with b.if_then(b.icmp_signed("!=", sums_at, I64(0))):
        for pixel, sums in enumerate(results):
            for z, x in enumerate(sums):
                code.store_bfloat16(x, code.add_steps(sums_at, sums_step, pixel), z)
    with b.if_then(b.icmp_signed("!=", target_at, I64(0))):
        for pixel, sums in enumerate(results):
            for z, x in enumerate(sums):
                y = b.fadd(b.fmul(code.maximum(x, floor[z]), factor[z]), term[z])
                y = code.maximum(y, b.fmul(y, slope[z]))
                code.store_bfloat16(y, code.add_steps(target_at, target_step, pixel), z)


def _write_to_blocks(code: TileCode, results: Any, _table: Any, places: Sequence[Any]) -> None:
    """Store each vector of sums as a block of 4 x 4 float32 pixels; the vectors of one pixel are separate channels."""
    b = code.builder
    corner, step, channel_step, row_step = places
    for pixel, sums in enumerate(results):
        for channel, x in enumerate(sums):
            block = code.add_steps(code.add_steps(corner, step, pixel), channel_step, channel)
            for row in range(BLOCK):
                of_row = ir.Constant(FOUR_WORDS, list(range(BLOCK * row, BLOCK * row + BLOCK)))
                code.store(b.shuffle_vector(x, x, of_row), code.add_steps(block, row_step, row), 4)


_narrow_tile = _make_tile(1, _write_to_rings)
_wide_tile = _make_tile(2, _write_to_rings)
_block_tile = _make_tile(2, _write_to_blocks)


@njit(cache=True, nogil=True)
def _address(array):  # type: ignore[no-untyped-def]
    # numba turns the sum of a signed and an unsigned integer into a float.
    return np.int64(array.ctypes.data)


@njit(cache=True, nogil=True)
def _row_address(ring, row):  # type: ignore[no-untyped-def]
    """Return the address of a row of a ring, or 0 if the ring has no rows."""
    if ring.shape[0] == 0:
        return np.int64(0)
    return _address(ring) + row % ring.shape[0] * 2 * ring.shape[1]


@njit(cache=True, nogil=True)
def _write_row_offsets(source, row, geometry, row_offsets):  # type: ignore[no-untyped-def]
    """Write where in the source ring the rows lie, in bytes, that the kernel's rows need for one row of results."""
    for tap in range(geometry.row_taps):
        source_row = row * geometry.row_stride + geometry.row_offset + tap
        row_offsets[tap] = source_row % source.shape[0] * (2 * source.shape[1])


@njit(cache=True, nogil=True)
def convolve(source, weights, table, sums, target, wide, start, geometry):  # type: ignore[no-untyped-def]  # noqa: PLR0917 (numba)
    """Compute the rows of a layer from row `start` and write the results to rings.

    Parameters
    ----------
    source, sums, target : ndarray, shape (rows, width), uint16
        Rings of bfloat16 numbers. A ring without rows means that these results are not wanted.
    weights, table : ndarray, uint8
        The layer's numbers, as the plan packs them.
    wide
        Whether a tile has 32 output channels instead of 16.
    start
        The first row, counted from the beginning of the track.
    geometry : Geometry
    """
    g = geometry
    channels = 2 if wide else 1
    pixels = ACCUMULATORS // channels
    row_offsets = np.empty(g.row_taps, np.int64)
    for block in range(g.blocks):
        weights_at = _address(weights) + block * g.row_taps * g.pairs * channels * VECTOR_BYTES
        table_at = _address(table) + block * TABLE_ROWS * channels * VECTOR_BYTES
        channels_at = block * channels * LANES * 2
        for row in range(start, start + g.rows):
            _write_row_offsets(source, row, g, row_offsets)
            to_row = row * g.row_scale + g.row_phase
            sums_at, target_at = _row_address(sums, to_row), _row_address(target, to_row)
            if sums_at:
                sums_at += g.sums_at + channels_at
            if target_at:
                target_at += g.target_at + channels_at
            for first in range(0, g.bins, pixels):
                x = _address(source) + first * g.source_step
                reads = (x, _address(row_offsets), g.row_taps, g.pairs, g.source_step, weights_at, table_at)
                tile_sums_at = sums_at + first * g.sums_step if sums_at else 0
                tile_target_at = target_at + first * g.target_step if target_at else 0
                places = (tile_sums_at, g.sums_step, tile_target_at, g.target_step)
                if wide:
                    _wide_tile(reads, places)
                else:
                    _narrow_tile(reads, places)


@njit(cache=True, nogil=True)
def convolve_to_blocks(source, weights, table, gains, start, geometry):  # type: ignore[no-untyped-def]  # noqa: PLR0917 (numba)
    """Compute the rows of the last layer and write each pixel as two blocks of 4 x 4 pixels of the result.

    The parameters are those of `convolve`, except for `gains`, float32 of shape (2, rows, bins), which receives the
    results.
    """
    g = geometry
    pixels = ACCUMULATORS // 2
    row_offsets = np.empty(g.row_taps, np.int64)
    gains_row, gains_channel = 4 * gains.shape[2], 4 * gains.shape[1] * gains.shape[2]
    for row in range(g.rows):
        _write_row_offsets(source, start + row, g, row_offsets)
        for first in range(0, g.bins, pixels):
            x = _address(source) + first * g.source_step
            corner = _address(gains) + BLOCK * row * gains_row + first * BLOCK * 4
            _block_tile(
                (x, _address(row_offsets), g.row_taps, g.pairs, g.source_step, _address(weights), _address(table)),
                (corner, BLOCK * 4, gains_channel, gains_row),
            )


@njit(cache=True, nogil=True)
def write_rows(bits, ring, start, zeros):  # type: ignore[no-untyped-def]
    """Write a chunk's magnitudes into a ring, rounded to bfloat16.

    Parameters
    ----------
    bits : ndarray, shape (2, rows, bins), uint32
        The magnitudes: the uint32 view of float32 numbers.
    ring : ndarray, shape (ring rows, bins with zeros), uint32
        The uint32 view of a ring with two channels, so one number holds both channels of a bin.
    start
        The row of the track that receives the first of these rows.
    zeros
        Zero bins before the first bin of a row.
    """
    for row in range(bits.shape[1]):
        out = ring[(start + row) % ring.shape[0]]
        left, right = bits[0, row], bits[1, row]
        for i in range(bits.shape[2]):
            low = left[i] + np.uint32(0x7FFF) + ((left[i] >> np.uint32(16)) & np.uint32(1))
            high = right[i] + np.uint32(0x7FFF) + ((right[i] >> np.uint32(16)) & np.uint32(1))
            out[zeros + i] = (low >> np.uint32(16)) | (high & np.uint32(0xFFFF0000))


def warm_up() -> None:
    """Compile all loops, or load them from numba's cache, so that the first job does not wait for it."""
    ring, numbers, nothing = np.zeros((1, 2), np.uint16), np.zeros(1, np.uint8), np.zeros((2, 0, 0), np.float32)
    numbers.flags.writeable = False  # Like the memory-mapped file of a model, so numba compiles for the same types.
    no_layer = Geometry(*[0] * len(Geometry._fields))
    convolve(ring, numbers, numbers, ring, ring, True, 0, no_layer)
    convolve_to_blocks(ring, numbers, numbers, nothing, 0, no_layer)
    write_rows(nothing.view(np.uint32), ring.view(np.uint32), 0, 0)
