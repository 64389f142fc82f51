"""Rearranges the kernels of the U-Net, so that its transposed and dilated convolutions become plain convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from worker.engines.interface import FloatArray

BLOCK = 4
"""Pixels along each side of a block. Its 16 pixels, as channels, fill a vector register; one would waste 15 of 16."""


def phase_kernels(weight: FloatArray) -> Iterator[tuple[FloatArray, tuple[int, int]]]:
    """Yield kernel and parities (row, column) of the four phases of a 5 x 5 transposed convolution of stride 2.

    The convolution is cropped by 1 before and 2 after. Output j takes input i with tap j - 2 i + 1: even outputs use
    the taps 3 and 1 of the inputs -1 and 0, odd outputs the taps 4, 2 and 0 of the inputs -1, 0 and 1. `weight` has the
    shape (inputs, outputs, 5, 5), the kernels have the shape (outputs, inputs, ..).
    """
    taps = ([3, 1], [4, 2, 0])
    for row, column in product((0, 1), repeat=2):
        kernel = weight[:, :, taps[row]][:, :, :, taps[column]]
        yield kernel.transpose(1, 0, 2, 3), (row, column)


def block_kernel(weight: FloatArray) -> FloatArray:
    """Return the kernel of a convolution of stride 2 whose 16 output channels are blocks of 4 x 4 outputs.

    `weight`, shape (inputs, 1, 5, 5), is that of a transposed convolution of stride 2 with one output, cropped by 1
    and 2. The kernel has the shape (16, inputs, 4, 4). Block m holds the outputs 4 m + q. By the rule in
    `phase_kernels` these take the inputs 2 m + d with tap q - 2 d + 1, for d from -1 to 2.
    """
    kernel = np.zeros((BLOCK, BLOCK, weight.shape[0], 4, 4), np.float32)
    for (q_row, q_column), (d_row, d_column) in product(product(range(BLOCK), repeat=2), product(range(4), repeat=2)):
        row, column = q_row - 2 * (d_row - 1) + 1, q_column - 2 * (d_column - 1) + 1
        if 0 <= row < 5 and 0 <= column < 5:
            kernel[q_row, q_column, :, d_row, d_column] = weight[:, 0, row, column]
    return kernel.reshape(BLOCK**2, -1, 4, 4)


def dilated_block_kernel(weight: FloatArray) -> FloatArray:
    """Return the kernel, shape (16 * outputs, 16, 3, 3), of a dilated convolution on blocks of 4 x 4 pixels.

    `weight` has the shape (outputs, 1, 4, 4), with dilation 2 and padding 3: output 4 m + q takes, with tap t, the
    input 4 m + q + 2 t - 3, which lies in the block before, in the same block or in the block after.
    """
    outputs = weight.shape[0]
    kernel = np.zeros((BLOCK, BLOCK, outputs, BLOCK, BLOCK, 3, 3), np.float32)
    for (q_row, q_column), (t_row, t_column) in product(product(range(BLOCK), repeat=2), repeat=2):
        block_row, row = divmod(q_row + 2 * t_row - 3, BLOCK)
        block_column, column = divmod(q_column + 2 * t_column - 3, BLOCK)
        kernel[q_row, q_column, :, row, column, block_row + 1, block_column + 1] = weight[:, 0, t_row, t_column]
    return kernel.reshape(BLOCK**2 * outputs, BLOCK**2, 3, 3)
