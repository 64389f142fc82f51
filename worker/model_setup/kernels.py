"""Kernels of the U-Net, rearranged so that its transposed and dilated convolutions become plain ones.

Owns the arithmetic of indices; the graph says where each is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from worker.engine.interface import FloatArray

BLOCK = 4
"""Pixels along each side of a block: 16 of them fill a vector register as channels, one would waste 15."""


def phase_kernels(weight: FloatArray) -> Iterator[tuple[FloatArray, tuple[int, int]]]:
    """Yield kernel and parities of the phases of a 5 x 5 transposed convolution, stride 2, cropped 1 and 2.

    Output j takes input i by tap j - 2 i + 1: even outputs by taps 3 and 1 from inputs -1 and 0, odd ones by
    taps 4, 2 and 0 from inputs -1, 0 and 1. `weight` has shape (inputs, outputs, 5, 5), the kernels
    (outputs, inputs, ..).
    """
    taps = ([3, 1], [4, 2, 0])
    for row, column in product((0, 1), repeat=2):
        kernel = weight[:, :, taps[row]][:, :, :, taps[column]]
        yield kernel.transpose(1, 0, 2, 3), (row, column)


def block_kernel(weight: FloatArray) -> FloatArray:
    """Return the kernel, shape (16, inputs, 4, 4), stride 2, that makes blocks of 4 x 4 outputs as channels.

    `weight` is that of a transposed 5 x 5 convolution of stride 2 with one output, cropped by 1 and 2.
    Block m has the outputs 4 m + q; by the rule in `phase_kernels` they take the inputs 2 m + d by tap q
    - 2 d + 1, for d from -1 to 2.
    """
    kernel = np.zeros((BLOCK, BLOCK, weight.shape[0], 4, 4), np.float32)
    for (q_row, q_column), (d_row, d_column) in product(product(range(BLOCK), repeat=2), product(range(4), repeat=2)):
        row, column = q_row - 2 * (d_row - 1) + 1, q_column - 2 * (d_column - 1) + 1
        if 0 <= row < 5 and 0 <= column < 5:
            kernel[q_row, q_column, :, d_row, d_column] = weight[:, 0, row, column]
    return kernel.reshape(BLOCK**2, -1, 4, 4)


def dilated_block_kernel(weight: FloatArray) -> FloatArray:
    """Return the kernel, shape (16 x outputs, 16, 3, 3), of a dilated convolution on blocks of 4 x 4 pixels.

    `weight` has shape (outputs, 1, 4, 4), dilation 2 and padding 3: output 4 m + q takes, by tap t, the
    input 4 m + q + 2 t - 3, which lies in the block before, the same, or the one after.
    """
    outputs = weight.shape[0]
    kernel = np.zeros((BLOCK, BLOCK, outputs, BLOCK, BLOCK, 3, 3), np.float32)
    for (q_row, q_column), (t_row, t_column) in product(product(range(BLOCK), repeat=2), repeat=2):
        block_row, row = divmod(q_row + 2 * t_row - 3, BLOCK)
        block_column, column = divmod(q_column + 2 * t_column - 3, BLOCK)
        kernel[q_row, q_column, :, row, column, block_row + 1, block_column + 1] = weight[:, 0, t_row, t_column]
    return kernel.reshape(BLOCK**2 * outputs, BLOCK**2, 3, 3)
