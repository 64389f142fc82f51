"""The stems on the scratch disk: exact floats, or 16 bits with a scale for each run of samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from worker.engines.interface import FloatArray
from worker.pipeline.stem_buffer import FLOATS, RUN_SAMPLES, SCALED_INTEGERS, SampleFormat, StemBuffer, choose_format

HOUR = 3600 * 48_000


def blocks() -> list[FloatArray]:
    """Return blocks of odd lengths with loud and soft parts, silence and nothing."""
    random = np.random.default_rng(0)
    made = [random.standard_normal((3, 2, n)) * 10 ** random.uniform(-4, 0, (3, 2, 1)) for n in (1, 700, 0, 5_003)]
    made[1][0, :, 100:] = 0
    return [block.astype(np.float32) for block in made]


def read_back(folder: Path, sample_format: SampleFormat) -> list[FloatArray]:
    with StemBuffer(folder / "stems", sample_format) as buffer:
        for block in blocks():
            buffer.append_block(block)
        assert buffer.exact == (sample_format is FLOATS)
        return [np.stack([read[stem] for stem in range(3)]) for read in buffer.read_blocks()]


def test_floats_come_back_to_the_last_bit(tmp_path: Path) -> None:
    for found, expected in zip(read_back(tmp_path, FLOATS), blocks(), strict=True):
        assert np.array_equal(found, expected)
    assert not (tmp_path / "stems").exists()


def test_scaled_integers_are_wrong_by_half_a_step_of_their_run_at_most(tmp_path: Path) -> None:
    for found, expected in zip(read_back(tmp_path, SCALED_INTEGERS), blocks(), strict=True):
        assert found.shape == expected.shape
        for start in range(0, expected.shape[2], RUN_SAMPLES):
            run, original = (y[..., start : start + RUN_SAMPLES] for y in (found, expected))
            step = np.abs(original).max(axis=2, keepdims=True) / 32_767
            assert (np.abs(run - original) <= 0.505 * step).all()


@pytest.mark.parametrize("value", [0.0, 1e-45, 1e-38, 1e30])
def test_silence_and_the_extremes_of_floats_are_kept(tmp_path: Path, value: float) -> None:
    with StemBuffer(tmp_path / "stems", SCALED_INTEGERS) as buffer:
        buffer.append_block(np.full((1, 1, 10), value, np.float32))
        for block in buffer.read_blocks():
            assert np.allclose(block[0], value, rtol=1e-4, atol=1e-37)


def test_a_block_takes_as_many_bytes_as_it_is_said_to_need() -> None:
    for sample_format in (FLOATS, SCALED_INTEGERS):
        for n in (0, 1, RUN_SAMPLES, RUN_SAMPLES + 1):
            data = sample_format.encode(np.zeros((2, n), np.float32))
            assert len(data) == sample_format.needed_bytes(n, 2)


@pytest.mark.parametrize(
    ("stems", "hours", "expected"),
    [(2, 3, FLOATS), (4, 1, FLOATS), (4, 3, SCALED_INTEGERS), (6, 2, SCALED_INTEGERS), (6, 3, None)],
)
def test_what_fits_into_the_default_share_beside_the_mixture(
    stems: int, hours: int, expected: SampleFormat | None
) -> None:
    free_bytes = 13_000_000_000 - 4 * 2 * hours * HOUR
    assert choose_format(stems, 2, hours * HOUR, free_bytes) is expected
