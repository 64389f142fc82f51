"""The compiled loops: a layer's rows, tile by tile, each tile written in the compiler's own instructions.

Owns the arithmetic of addresses. No compiler makes the instruction that multiplies pairs of bfloat16 numbers out of
Python, so a tile is spelled out: 16 registers add up, so that the processor always has something to begin while it
waits for earlier sums, and reads one pair of inputs for each pixel and one vector of weights for each register of
channels. Two such instructions run in each cycle, which is what the processor can do at most.

All is in one module, since numba finds by its file whether a cached function is still what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from worker.engine.unet.bfloat16.plan import ACCUMULATORS, LANES, TABLE_ROWS

VECTOR_BYTES = 64
PIXELS_A_POINTER = 3
"""x86 adds one or two steps to an address for free; every third pixel has an address of its own."""

I16, I32, I64, F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
SUMS, WORDS = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
PAIRS, HALVES, FOUR = ir.VectorType(I16, 2 * LANES), ir.VectorType(I16, LANES), ir.VectorType(I32, 4)


class Geometry(NamedTuple):
    """What the loops need to know of a layer; steps and places (`_at`) in bytes."""

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


class _Code:
    """Instructions under way, in terms of addresses as plain integers."""

    def __init__(self, builder: Any) -> None:
        self.b = builder

    def plus(self, address: Any, n: Any) -> Any:
        return self.b.add(address, I64(n)) if n else address

    def load(self, address: Any, kind: Any, align: int = 4) -> Any:
        return self.b.load(self.b.inttoptr(address, kind.as_pointer()), align=align)

    def store(self, value: Any, address: Any, align: Any) -> None:
        self.b.store(value, self.b.inttoptr(address, value.type.as_pointer()), align=align)

    def repeated(self, word: Any) -> Any:
        first = self.b.insert_element(ir.Constant(WORDS, ir.Undefined), word, I32(0))
        return self.b.shuffle_vector(first, ir.Constant(WORDS, ir.Undefined), ir.Constant(WORDS, [0] * LANES))

    def larger(self, x: Any, y: Any) -> Any:
        return self.b.select(self.b.fcmp_ordered(">", x, y), x, y)

    def store_bfloat16(self, x: Any, address: Any, register: int) -> None:
        """Store a register's numbers, rounded to the nearest, of two the even, as `plan.to_bfloat16` does."""
        b, bits, sixteen = self.b, self.b.bitcast(x, WORDS), ir.Constant(WORDS, [16] * LANES)
        odd = b.and_(b.lshr(bits, sixteen), ir.Constant(WORDS, [1] * LANES))
        bits = b.add(bits, b.add(odd, ir.Constant(WORDS, [0x7FFF] * LANES)))
        self.store(b.trunc(b.lshr(bits, sixteen), HALVES), self.plus(address, VECTOR_BYTES // 2 * register), 2)

    def sums(self, reads: Any, first: Any) -> Any:
        """Return `first` plus products of inputs and weights, a list of registers for each pixel."""
        source, rows, row_taps, pairs, step, weights = reads
        b, registers = self.b, len(first[0])
        before, each_row, each_pair = b.block, b.append_basic_block(), b.append_basic_block()
        row_end, end = b.append_basic_block(), b.append_basic_block()
        b.branch(each_row)
        b.position_at_end(each_row)
        row, of_row, in_row = self._loop_values(before, weights, first)
        x = b.add(source, self.load(b.add(rows, b.mul(row, I64(8))), I64, align=8))
        pointers = [b.add(x, b.mul(step, I64(pixel))) for pixel in range(0, len(first), PIXELS_A_POINTER)]
        b.branch(each_pair)
        b.position_at_end(each_pair)
        pair, of_pair, in_pair = self._loop_values(each_row, of_row, in_row)
        product = b.module.declare_intrinsic(
            "llvm.x86.avx512bf16.dpbf16ps.512", (), ir.FunctionType(SUMS, [SUMS, PAIRS, PAIRS])
        )
        vectors = [b.bitcast(self.load(self.plus(of_pair, VECTOR_BYTES * z), WORDS), PAIRS) for z in range(registers)]
        offsets = [b.mul(pair, I64(4))]
        offsets += [b.add(offsets[0], b.mul(step, I64(n))) for n in range(1, PIXELS_A_POINTER)]
        results = []
        for pixel, sums in enumerate(in_pair):
            pointer, offset = divmod(pixel, PIXELS_A_POINTER)
            inputs = b.bitcast(self.repeated(self.load(b.add(pointers[pointer], offsets[offset]), I32)), PAIRS)
            results.append([b.call(product, [z, vector, inputs]) for z, vector in zip(sums, vectors, strict=True)])
        next_pair, next_weights = self.plus(pair, 1), self.plus(of_pair, VECTOR_BYTES * registers)
        self._loop_on(each_pair, (pair, of_pair, in_pair), (next_pair, next_weights, results))
        b.cbranch(b.icmp_signed("<", next_pair, pairs), each_pair, row_end)
        b.position_at_end(row_end)
        next_row = self.plus(row, 1)
        self._loop_on(row_end, (row, of_row, in_row), (next_row, next_weights, results))
        b.cbranch(b.icmp_signed("<", next_row, row_taps), each_row, end)
        b.position_at_end(end)
        return results

    def _loop_values(self, before: Any, weights: Any, sums: Any) -> Any:
        """Return the values that change from turn to turn: a count from 0, the weights' address and all sums."""
        count, at = self.b.phi(I64), self.b.phi(I64)
        inner = [[self.b.phi(SUMS) for _ in pixel] for pixel in sums]
        self._loop_on(before, (count, at, inner), (I64(0), weights, sums))
        return count, at, inner

    @staticmethod
    def _loop_on(block: Any, values: Any, following: Any) -> None:
        for value, then in zip(values[:2], following[:2], strict=True):
            value.add_incoming(then, block)
        for pixel, then in zip(values[2], following[2], strict=True):
            for value, register in zip(pixel, then, strict=True):
                value.add_incoming(register, block)


def _tile(registers: int, finish: Callable[..., None]) -> Any:
    """Return the function that computes a tile's sums, and does with them as `finish` says.

    It takes two tuples of addresses, counts and steps from pixel to pixel. The first: the source, what to add to it
    for each row of the kernel, how many rows there are, pairs of inputs in each, the step, weights and table. The
    second: where results go, as `finish` wants it.
    """

    @intrinsic
    def tile(_typing: Any, _reads: Any, _places: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            code = _Code(builder)
            reads, places = ([builder.extract_value(all_, n) for n in range(all_.type.count)] for all_ in arguments)
            table = reads.pop()
            bias = [code.load(code.plus(table, VECTOR_BYTES * z), SUMS) for z in range(registers)]
            results = code.sums(reads, [bias] * (ACCUMULATORS // registers))
            finish(code, results, table, *places)
            return context.get_dummy_value()

        return types.void(types.UniTuple(types.int64, 7), types.UniTuple(types.int64, 4)), generate

    return tile


def _to_rings(code: Any, results: Any, table: Any, *places: Any) -> None:
    """Store a tile's sums and what follows them in rings, whose addresses are 0 where there is none."""
    b, registers = code.b, len(results[0])
    sums_at, sums_step, target_at, target_step = places
    floor, factor, term, slope = (
        [code.load(code.plus(table, VECTOR_BYTES * (row * registers + z)), SUMS) for z in range(registers)]
        for row in range(1, TABLE_ROWS)
    )
    with b.if_then(b.icmp_signed("!=", sums_at, I64(0))):
        for pixel, sums in enumerate(results):
            for z, x in enumerate(sums):
                code.store_bfloat16(x, b.add(sums_at, b.mul(sums_step, I64(pixel))), z)
    with b.if_then(b.icmp_signed("!=", target_at, I64(0))):
        for pixel, sums in enumerate(results):
            for z, x in enumerate(sums):
                y = b.fadd(b.fmul(code.larger(x, floor[z]), factor[z]), term[z])
                y = code.larger(y, b.fmul(y, slope[z]))
                code.store_bfloat16(y, b.add(target_at, b.mul(target_step, I64(pixel))), z)


def _to_blocks(code: Any, results: Any, _table: Any, *places: Any) -> None:
    """Store a tile's sums as blocks of 4 x 4 numbers, each register in a channel of its own."""
    b = code.b
    corner, step, channel_step, row_step = places
    for pixel, sums in enumerate(results):
        for channel, x in enumerate(sums):
            at = b.add(b.add(corner, b.mul(step, I64(pixel))), b.mul(channel_step, I64(channel)))
            for row in range(4):
                four = b.shuffle_vector(x, x, ir.Constant(FOUR, list(range(4 * row, 4 * row + 4))))
                code.store(four, b.add(at, b.mul(row_step, I64(row))), 4)


_narrow_tile = _tile(1, _to_rings)
_wide_tile = _tile(2, _to_rings)
_block_tile = _tile(2, _to_blocks)


@njit(cache=True, nogil=True)
def _address(array):  # type: ignore[no-untyped-def]
    # numba makes a float of a sum of signed and unsigned numbers.
    return np.int64(array.ctypes.data)


@njit(cache=True, nogil=True)
def convolve(source, weights, table, sums, target, wide, start, geometry):  # type: ignore[no-untyped-def]  # noqa: PLR0917 (numba)
    """Run a layer from row `start` on, its results going to rings; a ring of no rows stands for none.

    `source`, `sums` and `target` are rings; `weights` and `table` the layer's numbers on, as bytes.
    """
    g = geometry
    registers = 2 if wide else 1
    pixels = ACCUMULATORS // registers
    rows = np.empty(g.row_taps, np.int64)
    row_bytes = 2 * source.shape[1]
    for block in range(g.blocks):
        weights_at = _address(weights) + block * g.row_taps * g.pairs * registers * VECTOR_BYTES
        table_at = _address(table) + block * TABLE_ROWS * registers * VECTOR_BYTES
        channels_at = block * registers * LANES * 2
        for row in range(start, start + g.rows):
            for tap in range(g.row_taps):
                rows[tap] = (row * g.row_stride + g.row_offset + tap) % source.shape[0] * row_bytes
            to_row = row * g.row_scale + g.row_phase
            sums_at = target_at = 0
            if sums.shape[0]:
                sums_at = _address(sums) + to_row % sums.shape[0] * 2 * sums.shape[1] + g.sums_at + channels_at
            if target.shape[0]:
                target_at = (
                    _address(target) + to_row % target.shape[0] * 2 * target.shape[1] + g.target_at + channels_at
                )
            for first in range(0, g.bins, pixels):
                x = _address(source) + first * g.source_step
                reads = (x, _address(rows), g.row_taps, g.pairs, g.source_step, weights_at, table_at)
                one = sums_at + first * g.sums_step if sums_at else 0
                two = target_at + first * g.target_step if target_at else 0
                if wide:
                    _wide_tile(reads, (one, g.sums_step, two, g.target_step))
                else:
                    _narrow_tile(reads, (one, g.sums_step, two, g.target_step))


@njit(cache=True, nogil=True)
def convolve_to_blocks(source, weights, table, gains, start, geometry):  # type: ignore[no-untyped-def]  # noqa: PLR0917 (numba)
    """Run a layer whose results are `gains`, float32 of shape (2, rows, bins): of each pixel two blocks of 4 x 4."""
    g = geometry
    pixels = ACCUMULATORS // 2
    rows = np.empty(g.row_taps, np.int64)
    row_bytes = 2 * source.shape[1]
    gains_row, gains_channel = 4 * gains.shape[2], 4 * gains.shape[1] * gains.shape[2]
    for row in range(g.rows):
        for tap in range(g.row_taps):
            rows[tap] = ((start + row) * g.row_stride + g.row_offset + tap) % source.shape[0] * row_bytes
        for first in range(0, g.bins, pixels):
            x = _address(source) + first * g.source_step
            corner = _address(gains) + 4 * row * gains_row + first * 4 * 4
            _block_tile(
                (x, _address(rows), g.row_taps, g.pairs, g.source_step, _address(weights), _address(table)),
                (corner, 4 * 4, gains_channel, gains_row),
            )


@njit(cache=True, nogil=True)
def write_rows(bits, ring, start, zeros):  # type: ignore[no-untyped-def]
    """Write `bits`, the uint32 view of float32 numbers of shape (2, rows, bins), to a ring as its rows from `start` on.

    `ring` is the uint32 view of a ring of two channels: one number is both, rounded as elsewhere.
    """
    for row in range(bits.shape[1]):
        out = ring[(start + row) % ring.shape[0]]
        left, right = bits[0, row], bits[1, row]
        for i in range(bits.shape[2]):
            low = left[i] + np.uint32(0x7FFF) + ((left[i] >> np.uint32(16)) & np.uint32(1))
            high = right[i] + np.uint32(0x7FFF) + ((right[i] >> np.uint32(16)) & np.uint32(1))
            out[zeros + i] = (low >> np.uint32(16)) | (high & np.uint32(0xFFFF0000))


def warm() -> None:
    """Compile all loops, or load them from numba's cache, so that the first job need not."""
    ring, numbers, nothing = np.zeros((1, 2), np.uint16), np.zeros(1, np.uint8), np.zeros((2, 0, 0), np.float32)
    numbers.flags.writeable = False  # As the file that they are mapped from.
    no_layer = Geometry(*[0] * len(Geometry._fields))
    convolve(ring, numbers, numbers, ring, ring, True, 0, no_layer)
    convolve_to_blocks(ring, numbers, numbers, nothing, 0, no_layer)
    write_rows(nothing.view(np.uint32), ring.view(np.uint32), 0, 0)
