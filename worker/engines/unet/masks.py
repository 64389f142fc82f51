"""Masks: turns the gains of all networks into each stem's part of the mixture's spectrum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from worker.engines.interface import FloatArray
from worker.engines.unet.model_manifest import MaskManifest

TOP_BINS = 32
"""Above the networks' bins the mask is the mean of this many bins below. With fewer, single partials decide."""

POWER_FLOOR = np.float32(1e-10)
"""Spleeter's constant: it keeps the shares defined, and equal, in silence."""


def _unchanged(x: FloatArray) -> FloatArray:
    return x


def _power_of_one_and_a_half(x: FloatArray) -> FloatArray:
    raised: FloatArray = x * np.sqrt(x)
    return raised


POWERS: Mapping[float, Callable[[FloatArray], FloatArray]] = {
    1.0: _unchanged,
    1.5: _power_of_one_and_a_half,
    2.0: np.square,
}
"""The functions for `MASK_EXPONENTS`. Other exponents would need `np.power`, which is slow on some processors."""


@dataclass(frozen=True)
class MaskRule:
    """How masks are computed from gains.

    Each stem's network estimates how much of the mixture is the stem, and so do the other networks, by what they leave
    over. Where the two estimates disagree, the truth lies between them. So a mask is a weighted mean of the gain from
    the stem's own network (weight `own_gain`) and of the stem's share of all stems' magnitudes raised to `exponent`.

    `masked` are the numbers of the masked stems. `taper` is the factor in each bin above those of the networks.
    """

    exponent: float
    own_gain: float
    masked: tuple[int, ...]
    taper: FloatArray

    @classmethod
    def from_manifest(cls, manifest: MaskManifest) -> MaskRule:
        """Return the rule of a manifest."""
        # Networks see bins, not Hz: at a higher sample rate than their own, all frequencies move up by the same ratio.
        end_bin = round(manifest.taper_end_hz / manifest.sample_rate_hz * manifest.n_fft)
        n_taper = max(0, min(end_bin, manifest.n_fft // 2 + 1) - manifest.bins)
        return cls(
            manifest.mask_exponent,
            manifest.mask_own_gain,
            tuple(manifest.stems.index(stem) for stem in manifest.estimated_stems),
            np.linspace(1, 0, n_taper, endpoint=False, dtype=np.float32),
        )

    def compute_masks(self, S: FloatArray, gains: list[FloatArray]) -> FloatArray:
        """Return the masks of some frames.

        Parameters
        ----------
        S : ndarray, shape (channels, frames, bins), float32
            Magnitudes of the mixture.
        gains : list of ndarray, of the same shape
            The gains from each stem's network. Unchanged.

        Returns
        -------
        ndarray, shape (masked stems, channels, frames, bins + len(taper)), float32
            The part of each masked stem, from 0 to 1.
        """
        bins, power_of = S.shape[2], POWERS[self.exponent]
        powers = [power_of(S * gain) for gain in gains]
        total = sum(powers[1:], start=powers[0] + POWER_FLOOR)
        masks = np.empty((len(self.masked), *S.shape[:2], bins + len(self.taper)), np.float32)
        for mask, stem in zip(masks, self.masked, strict=True):
            share = powers[stem]
            share += POWER_FLOOR / len(gains)
            share /= total
            if self.own_gain:
                share += np.float32(self.own_gain) * (gains[stem] - share)
            mask[..., :bins] = share
            top = share[..., bins - TOP_BINS :].mean(axis=-1, keepdims=True)
            np.multiply(top, self.taper, out=mask[..., bins:])
        return masks
