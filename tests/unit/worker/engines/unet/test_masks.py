"""The rule that computes masks from gains, compared with plain sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worker.engines.errors import EngineUnavailableError
from worker.engines.unet.masks import TOP_BINS, MaskRule
from worker.engines.unet.model_manifest import MASK_EXPONENTS, read_manifest, write_manifest

BINS = 48


@pytest.fixture
def manifest(three_stem_folder):
    return read_manifest(three_stem_folder)


def sound(stems=3):
    """Return magnitudes from silence up to a loud tone, and gains that neither sum to 1 nor are all above 0."""
    rng = np.random.default_rng(5)
    S = (10 ** rng.uniform(-4, 3, (2, 9, BINS))).astype(np.float32)
    S[:, 3] = 0
    gains = [rng.uniform(0, 1, S.shape).astype(np.float32) for _ in range(stems)]
    gains[0][:, :, ::5] = 0
    return S, gains


@pytest.mark.parametrize("exponent", MASK_EXPONENTS)
@pytest.mark.parametrize("own_gain", [0, 0.25, 1])
def test_a_mask_is_a_weighted_mean_of_the_share_and_the_stems_own_gain(manifest, exponent, own_gain):
    S, gains = sound()
    rule = MaskRule.from_manifest(replace(manifest, mask_exponent=exponent, mask_own_gain=own_gain))
    masks = rule.compute_masks(S, gains)
    powers = [(S.astype(np.float64) * gain) ** exponent for gain in gains]
    assert len(masks) == 2  # The third stem is the remainder.
    for mask, power, gain in zip(masks, powers, gains, strict=False):
        share = (power + 1e-10 / 3) / (sum(powers) + 1e-10)
        expected = (1 - own_gain) * share + own_gain * gain
        np.testing.assert_allclose(mask[..., :BINS], expected, atol=1e-5)


def test_above_the_networks_bins_a_mask_is_the_mean_of_those_below_and_fades_out(manifest):
    S, gains = sound()
    rule = MaskRule.from_manifest(replace(manifest, mask_own_gain=0.25))
    masks = rule.compute_masks(S, gains)
    top = masks[..., BINS - TOP_BINS : BINS].mean(axis=-1)
    n = masks.shape[-1] - BINS
    assert n == round(manifest.taper_end_hz / manifest.sample_rate_hz * manifest.n_fft) - BINS
    for k in range(n):
        np.testing.assert_allclose(masks[..., BINS + k], top * (1 - k / n), atol=1e-6)


def test_masks_do_not_depend_on_the_number_of_frames_and_leave_the_gains_unchanged(manifest):
    S, gains = sound()
    rule = MaskRule.from_manifest(replace(manifest, mask_exponent=1.0, mask_own_gain=0.25))
    before = [gain.copy() for gain in gains]
    whole = rule.compute_masks(S, gains)
    parts = [rule.compute_masks(S[:, at : at + 2], [gain[:, at : at + 2] for gain in gains]) for at in range(0, 9, 2)]
    assert np.array_equal(np.concatenate(parts, axis=2), whole)
    assert all(np.array_equal(gain, kept) for gain, kept in zip(gains, before, strict=True))


def test_the_loudest_magnitudes_and_silence_have_masks_from_0_to_1(manifest):
    gains = [np.ones((2, 1, BINS), np.float32)] * 3
    for exponent in MASK_EXPONENTS:
        rule = MaskRule.from_manifest(replace(manifest, mask_exponent=exponent))
        for level in (0, 1e6):
            masks = rule.compute_masks(np.full((2, 1, BINS), level, np.float32), gains)
            np.testing.assert_allclose(masks[..., :BINS], 1 / 3, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [{"mask_exponent": 3.0}, {"mask_own_gain": 1.5}, {"mask_own_gain": 0.25, "remainder": None}],
)
def test_a_manifest_with_an_impossible_mask_rule_is_refused(manifest, tmp_path, changes):
    write_manifest(tmp_path, replace(manifest, **changes))
    with pytest.raises(EngineUnavailableError, match="is not valid"):
        read_manifest(tmp_path)
