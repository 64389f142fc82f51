"""One segment: analysis, the network's masks, the cross-fade with the segment before, synthesis.

Owns what happens to the channels and above the bins that the network models. Knows no track and no rates
but one.
"""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np

from worker.engine.interface import FloatArray
from worker.engine.unet.manifest import Manifest
from worker.engine.unet.network import MaskNetwork
from worker.engine.unet.segments import SegmentGrid
from worker.engine.unet.spectrum import ComplexArray, ShortTimeFourier

TOP_BINS = 32
"""The mask goes on above the modelled range as the mean of so many bins below it. Fewer let single
partials through."""


class Masker:
    """Separates segments at one sample rate. Threads may call it at once.

    Parameters
    ----------
    manifest
        Describes the network.
    network
        The loaded network.
    """

    def __init__(self, manifest: Manifest, network: MaskNetwork) -> None:
        self._manifest = manifest
        self._network = network
        self._grid = SegmentGrid.of(manifest)
        self._fourier = ShortTimeFourier(manifest.n_fft, manifest.hop_length)
        self._rising = self._grid.crossfade()
        # The network sees bins, not Hz: at a higher rate than its own everything moves up by the same ratio.
        bin_hz = manifest.sample_rate_hz / manifest.n_fft
        end_bin = min(round(manifest.taper_end_hz / bin_hz), manifest.n_fft // 2 + 1)
        n_taper = max(0, end_bin - manifest.bins)
        self._taper = np.linspace(1, 0, n_taper, endpoint=False, dtype=np.float32)

    def separate(
        self,
        y: FloatArray,
        before: Future[FloatArray] | None,
        after: Future[FloatArray],
        *,
        last: bool,
    ) -> FloatArray:
        """Return a segment's share of the masked stems.

        Parameters
        ----------
        y, shape (channels, segment_samples), float32
            The mixture.
        before
            The end of the masks of the segment before, once it is known; None for the first segment.
        after
            Takes the end of this segment's masks, or the error that kept it from them.
        last
            Whether no segment follows, so that the end is synthesised too.

        Returns
        -------
        ndarray, shape (masked stems, channels, n), float32
            To be added up with its neighbours', which overlap by `lead_samples`.
        """
        try:
            D, masks = self._masks(y)
            after.set_result(masks[:, :, self._grid.step_frames :])
        except BaseException as error:
            after.set_exception(error)
            raise
        if before is not None:
            faded = masks[:, :, : self._grid.overlap_frames]
            faded *= self._rising
            faded += (1 - self._rising) * before.result()
        n_frames = self._grid.segment_frames if last else self._grid.step_frames
        stems = [self._fourier.synthesise(D[:, :n_frames], self._extended(mask[:, :n_frames])) for mask in masks]
        return np.stack(stems)

    def _masks(self, y: FloatArray) -> tuple[ComplexArray, FloatArray]:
        """Return the spectrum, and masks of shape (masked stems, channels, frames, bins)."""
        width = self._manifest.channels
        D, S = self._fourier.analyse(y, self._manifest.bins)
        masks = np.empty((len(self._manifest.masked_stems), *S.shape), np.float32)
        for first in range(0, len(S), width):
            group = S[first : first + width]
            missing = width - len(group)
            found = self._network.masks(np.concatenate([group, *[group[-1:]] * missing]))
            masks[:, first : first + width] = found[:, : len(group)]
            if missing:
                masks[:, -1] = found[:, len(group) - 1 :].mean(axis=1)
        return D, masks

    def _extended(self, mask: FloatArray) -> FloatArray:
        """Return a mask that goes on above the modelled bins, falling to 0."""
        top = mask[..., -TOP_BINS:].mean(axis=-1, keepdims=True)
        return np.concatenate([mask, top * self._taper], axis=-1)
