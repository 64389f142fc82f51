"""Masks: what the gains of all networks together say of each stem's part in the mixture.

Owns the rule, and what stands above the bins that the networks model. Knows no samples and no track.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from worker.engine.interface import FloatArray
from worker.engine.unet.manifest import Manifest

TOP_BINS = 32
"""Above the modelled range a mask is the mean of so many bins below it. Fewer let single partials decide."""

POWER_FLOOR = np.float32(1e-10)
"""Spleeter's: keeps the shares defined in silence, and equal there."""

POWERS: Mapping[float, Callable[[FloatArray], FloatArray]] = {
    1.0: lambda x: x,
    1.5: lambda x: x * np.sqrt(x),
    2.0: np.square,
}
"""One for each of `MASK_EXPONENTS`. Others would need np.power, which has no fast loop on every processor."""


@dataclass(frozen=True)
class MaskRule:
    """How masks come of gains.

    A stem's network tells how much of the mixture is the stem's, and so do the others, by what they leave. Where the
    two disagree the truth lies between: a mask is by the part `own_gain` what its network says alone, and for the rest
    the stem's share of all stems' magnitudes to the power of `exponent`. `taper` is what is left of it in each
    bin above those of the networks.
    """

    exponent: float
    own_gain: float
    masked: tuple[int, ...]
    taper: FloatArray

    @classmethod
    def of(cls, manifest: Manifest) -> MaskRule:
        """Return the rule that a manifest tells."""
        # Networks see bins, not Hz: at a higher rate than their own everything moves up by the same ratio.
        end_bin = round(manifest.taper_end_hz / manifest.sample_rate_hz * manifest.n_fft)
        n_taper = max(0, min(end_bin, manifest.n_fft // 2 + 1) - manifest.bins)
        return cls(
            manifest.mask_exponent,
            manifest.mask_own_gain,
            tuple(manifest.stems.index(stem) for stem in manifest.masked_stems),
            np.linspace(1, 0, n_taper, endpoint=False, dtype=np.float32),
        )

    def masks(self, S: FloatArray, gains: list[FloatArray]) -> FloatArray:
        """Return the masks of some frames.

        Parameters
        ----------
        S, shape (channels, frames, bins), float32
            Magnitudes of the mixture.
        gains, of the same shape
            What each stem's network makes of it.

        Returns
        -------
        ndarray, shape (masked stems, channels, frames, bins and taper), float32
            The masked stems' parts, 0 to 1.
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
