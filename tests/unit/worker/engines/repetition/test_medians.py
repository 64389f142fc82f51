from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.engines.repetition.medians import (
    CodeArray,
    decode_magnitudes,
    middles_over_rows,
    rank_over_bins,
    rank_over_rows,
)
from worker.engines.repetition.spectra import encode_spectra


def _codes(seed: int, shape: tuple[int, int]) -> CodeArray:
    # Few values, so that there are ties, and both ends of the range.
    return np.random.default_rng(seed).choice(np.array([0, 1, 7, 300, 301, 65_534, 65_535], np.uint16), shape)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 999), n=st.integers(1, 45), n_bins=st.sampled_from([5, 128, 300]))
def test_the_median_over_rows_equals_numpys(seed: int, n: int, n_bins: int) -> None:
    codes = _codes(seed, (50, n_bins))
    rows = np.random.default_rng(seed).permutation(50)[np.newaxis, :n].astype(np.int32)
    n_rows = np.array([n], np.int32)
    lowest, lower, upper = np.empty((3, 1, n_bins), np.uint16)
    rank_over_rows(codes, rows, n_rows, 0.5, lowest)
    middles_over_rows(codes, rows, n_rows, lower, upper)
    np.testing.assert_array_equal(lowest[0], np.sort(codes[rows[0]], axis=0)[(n - 1) // 2])
    np.testing.assert_array_equal(lower, lowest)
    np.testing.assert_array_equal((lower[0] + 0.0 + upper[0]) / 2, np.median(codes[rows[0]], axis=0))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), radius=st.integers(1, 9), n_bins=st.sampled_from([33, 128, 300]))
def test_the_median_over_bins_mirrors_the_spectrum_at_its_ends(seed: int, radius: int, n_bins: int) -> None:
    codes = _codes(seed, (3, n_bins))
    out = np.empty_like(codes)
    rank_over_bins(codes, radius, 0.5, out)
    mirrored = np.pad(codes, ((0, 0), (radius, radius)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(mirrored, 2 * radius + 1, axis=1)
    np.testing.assert_array_equal(out, np.median(windows, axis=-1))


def test_codes_hold_magnitudes_to_a_twentieth_of_a_percent_and_keep_their_order() -> None:
    magnitude = np.geomspace(2.0**-23, 100, 1000, dtype=np.float32)
    codes = np.empty((1, 1000), np.uint16)
    encode_spectra(
        magnitude.astype(np.complex64)[np.newaxis, np.newaxis],
        np.full(1000, -1, np.int32),
        codes,
        np.empty((1, 1), np.float32),
    )
    assert (np.diff(codes[0].astype(int)) > 0).all()
    decoded = np.empty(1000, np.float32)
    decode_magnitudes(codes[0], decoded.view(np.uint32))
    np.testing.assert_allclose(decoded, magnitude, rtol=5e-4)


def test_silence_has_code_zero_and_is_decoded_as_silence() -> None:
    decoded = np.ones(3, np.float32)
    decode_magnitudes(np.zeros(3, np.uint16), decoded.view(np.uint32))
    assert not decoded.any()
