"""Writes the instructions of a tile in LLVM's own language, because no compiler produces `vdpbf16ps` from Python code.

tiles.py says what a tile is, and calls the tiles. numba looks at that file alone to decide whether a compiled loop is
still current. So after a change of this file `python -m tests.unit.worker.engines.unet.test_tile_code` writes its new
digest into tiles.py; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir

from worker.engines.unet.bfloat16.plan import LANES

VECTOR_BYTES = 64

PIXELS_PER_POINTER = 3
"""x86 adds one or two steps to an address for free, so only every third pixel needs an address of its own."""

I16, I32, I64, F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
SUMS = ir.VectorType(F32, LANES)
WORDS = ir.VectorType(I32, LANES)
PAIRS = ir.VectorType(I16, 2 * LANES)
HALVES = ir.VectorType(I16, LANES)
FOUR_WORDS = ir.VectorType(I32, 4)


class Reads(NamedTuple):
    """What a tile reads. The fields are LLVM values: 64-bit integers, addresses among them."""

    source: Any
    """Address of the tile's first input bin in the first row of the source ring."""

    row_offsets: Any
    """Address of one 64-bit integer for each row of the kernel: what to add to `source` to get to that row."""

    row_taps: Any
    """Number of rows of the kernel."""

    pairs: Any
    """Pairs of inputs in each row of the kernel: neighbouring channels, then neighbouring bins."""

    pixel_step: Any
    """Bytes from the inputs of one pixel to those of the next."""

    weights: Any
    """Address of the weights, in the order in which the tile reads them (`plan.packed_kernel`)."""

    table: Any
    """Address of the layer's table (`plan.packed_table`); its first row holds the biases."""


class TileCode:
    """Writes the instructions of one tile. Addresses are plain 64-bit integers.

    The registers of a tile are a list with an entry for each pixel, which is a list of vectors of 16 output channels.
    """

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def add(self, address: Any, n: int) -> Any:
        """Return an address plus a constant."""
        return self.builder.add(address, I64(n)) if n else address

    def add_steps(self, address: Any, step: Any, n: int) -> Any:
        """Return an address plus `n` times a step that is known only at run time."""
        return self.builder.add(address, self.builder.mul(step, I64(n)))

    def load(self, address: Any, kind: Any, align: int = 4) -> Any:
        """Return the value of an LLVM type that is at an address."""
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=align)

    def store(self, value: Any, address: Any, align: int) -> None:
        """Write a value to an address."""
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer()), align=align)

    def broadcast(self, word: Any) -> Any:
        """Return a vector of 16 copies of a 32-bit word."""
        undefined = ir.Constant(WORDS, ir.Undefined)
        first = self.builder.insert_element(undefined, word, I32(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(WORDS, [0] * LANES))

    def maximum(self, x: Any, y: Any) -> Any:
        """Return the larger of two numbers in each place of two vectors."""
        return self.builder.select(self.builder.fcmp_ordered(">", x, y), x, y)

    def store_bfloat16(self, x: Any, address: Any, register: int) -> None:
        """Store a vector as bfloat16, rounded to nearest and ties to even, as `plan.to_bfloat16` does."""
        b, bits, sixteen = self.builder, self.builder.bitcast(x, WORDS), ir.Constant(WORDS, [16] * LANES)
        odd = b.and_(b.lshr(bits, sixteen), ir.Constant(WORDS, [1] * LANES))
        bits = b.add(bits, b.add(odd, ir.Constant(WORDS, [0x7FFF] * LANES)))
        self.store(b.trunc(b.lshr(bits, sixteen), HALVES), self.add(address, VECTOR_BYTES // 2 * register), 2)

    def loop(self, times: Any, first: Sequence[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """Write a loop that runs at least once, and return the values after its last turn.

        `body(count, values)` writes one turn. It gets the turn's number, from 0, and the values that the turn before it
        returned; in the first turn these are `first`.
        """
        b = self.builder
        before, turn = b.block, b.append_basic_block("turn")
        b.branch(turn)
        b.position_at_end(turn)
        count, values = b.phi(I64), [b.phi(value.type) for value in first]
        following = body(count, values)
        next_count = self.add(count, 1)
        end_of_turn = b.block  # Not `turn`, if the body has loops of its own.
        for value, at_first, then in zip([count, *values], [I64(0), *first], [next_count, *following], strict=True):
            value.add_incoming(at_first, before)
            value.add_incoming(then, end_of_turn)
        after = b.append_basic_block("after")
        b.cbranch(b.icmp_signed("<", next_count, times), turn, after)
        b.position_at_end(after)
        return following

    def accumulate(self, reads: Reads, registers: list[list[Any]]) -> list[list[Any]]:
        """Add to the registers the products of all inputs and weights: for each row of the kernel, for each pair.

        The weights lie in the order in which they are used, so one address moves on through both loops.
        """
        channels = len(registers[0])
        add_row = partial(self._add_row, reads, channels)
        _, *sums = self.loop(reads.row_taps, [reads.weights, *_flat(registers)], add_row)
        return _grouped(sums, channels)

    def _add_row(self, reads: Reads, channels: int, row: Any, values: list[Any]) -> list[Any]:
        """Add the products of one row of the kernel. `values` are the address of its weights, then all registers."""
        n_pixels = (len(values) - 1) // channels
        pointers = self._pixel_pointers(reads, row, n_pixels)
        return self.loop(reads.pairs, values, partial(self._add_pair, reads, channels, pointers))

    def _pixel_pointers(self, reads: Reads, row: Any, n_pixels: int) -> list[Any]:
        """Return the addresses of the inputs of every third pixel, in one row of the kernel."""
        offset = self.load(self.builder.add(reads.row_offsets, self.builder.mul(row, I64(8))), I64, align=8)
        start = self.builder.add(reads.source, offset)
        return [self.add_steps(start, reads.pixel_step, n) for n in range(0, n_pixels, PIXELS_PER_POINTER)]

    def _add_pair(self, reads: Reads, channels: int, pointers: list[Any], pair: Any, values: list[Any]) -> list[Any]:
        """Add the products of one pair of inputs of each pixel with the weights of all output channels.

        `values` are the address of the weights of this pair, then all registers; so are the values that are returned.
        """
        b, weights = self.builder, values[0]
        multiply_add = b.module.declare_intrinsic(
            "llvm.x86.avx512bf16.dpbf16ps.512", (), ir.FunctionType(SUMS, [SUMS, PAIRS, PAIRS])
        )
        vectors = [b.bitcast(self.load(self.add(weights, VECTOR_BYTES * z), WORDS), PAIRS) for z in range(channels)]
        pair_offset = b.mul(pair, I64(4))
        offsets = [
            self.add_steps(pair_offset, reads.pixel_step, n) if n else pair_offset for n in range(PIXELS_PER_POINTER)
        ]
        products = []
        for pixel, sums in enumerate(_grouped(values[1:], channels)):
            pointer, offset = divmod(pixel, PIXELS_PER_POINTER)
            word = self.load(b.add(pointers[pointer], offsets[offset]), I32)
            inputs = b.bitcast(self.broadcast(word), PAIRS)
            products += [
                b.call(multiply_add, [x, of_channel, inputs]) for x, of_channel in zip(sums, vectors, strict=True)
            ]
        return [self.add(weights, VECTOR_BYTES * channels), *products]


def _flat(registers: list[list[Any]]) -> list[Any]:
    return [vector for pixel in registers for vector in pixel]


def _grouped(vectors: list[Any], channels: int) -> list[list[Any]]:
    return [vectors[i : i + channels] for i in range(0, len(vectors), channels)]
