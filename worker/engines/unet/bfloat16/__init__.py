"""Runs a network in bfloat16 with the processor's own instructions for it, compiled by numba.

A processor with AVX512_BF16 multiplies twice as many 16-bit numbers at once as 32-bit numbers, and adds them up in 32
bits. `plan` describes the layers of a network, `network` runs them, `tiles` holds the compiled loops, and `tile_code`
writes their innermost instructions. Import `tiles` and `network` only on a processor that has these instructions.
"""
