"""Runs a network in bfloat16 with the processor's own instructions for it, compiled by numba.

A processor with AVX512_BF16 multiplies twice as many numbers of 16 bits at once as of 32 and adds up in 32 bits.
Owns the plan of a network's layers and what runs it; knows no network. Import only what the machine can run: the
modules below `plan` compile instructions that others do not have.
"""
