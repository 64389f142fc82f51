"""The manifest of a model folder: what the networks in it are, how to feed them, and whether their files are intact.

`manifest.json` can describe any network that masks a spectrogram.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from worker.engines.errors import EngineUnavailableError
from worker.engines.model_folder import ModelManifest, manifest_from_document, read_document, write_document

FAMILY = "mask"
"""The family of networks that mask a spectrogram."""

MASK_EXPONENTS = (1.0, 1.5, 2.0)
"""The exponents that masks can be made with: 1 for shares of the magnitudes, 2 for shares of the power."""


@dataclass(frozen=True, kw_only=True)
class MaskManifest(ModelManifest):
    """A set of networks, one for each stem, that estimate the stem's share of a spectrogram.

    Input and output. A network takes `magnitudes`, float32 of shape (1, channels, chunk_frames, bins), chunk by chunk.
    They come from an STFT with a periodic Hann window of `n_fft` samples. The sample rate is that of the track if it is
    between `sample_rate_hz` and `highest_rate_hz`, else `sample_rate_hz`. The network returns `gains` of the same
    shape, from 0 to 1: the stem's magnitudes divided by the mixture's, for the frames `delay_frames` earlier.

    States. What a network keeps from chunk to chunk are its states: each further input x is replaced by the output
    next_x. `initial_states` names the file with their values after silence. Chunks further back than `settling_frames`
    have no influence on the gains.

    Masks. A stem's mask is a weighted mean: `mask_own_gain` is the weight of the gain from the stem's own network, and
    the rest is the stem's share of all stems' magnitudes raised to `mask_exponent` (2 is the share of the power, as in
    Spleeter). Above `bins` the mask fades out up to `taper_end_hz`. The stem `remainder`, if there is one, is the
    mixture minus the other stems.

    Level. If there is a `fed_peak`, the magnitudes are those of the track with this peak, whatever its own peak is.
    Else they are those of the track at its own level.

    Files. `networks` are those of the stems, in order, for the package `runtime`.
    """

    highest_rate_hz: int
    n_fft: int
    hop_length: int
    bins: int
    chunk_frames: int
    delay_frames: int
    settling_frames: int
    taper_end_hz: float
    runtime: str
    initial_states: str
    mask_exponent: float = 2.0
    mask_own_gain: float = 0.0
    fed_peak: float | None = None

    def check_values(self) -> None:
        """Raise ValueError if the values contradict each other."""
        super().check_values()
        if self.n_fft % self.hop_length or self.n_fft < 4 * self.hop_length:
            # Only with such a hop do squared Hann windows add up to a constant.
            raise ValueError("hop_length must divide n_fft, at least four times")
        if not 1 <= self.bins <= self.n_fft // 2 + 1:
            raise ValueError("bins must lie within the spectrum")
        if self.delay_frames % self.chunk_frames or self.chunk_frames < 1:
            raise ValueError("delay_frames must be a multiple of chunk_frames")
        self._check_mask_rule()
        if self.fed_peak is not None and not 0 < self.fed_peak < math.inf:
            raise ValueError("fed_peak must be positive")
        if len(self.networks) != len(self.stems):
            raise ValueError("every stem must have a network")
        if self.initial_states not in self.files:
            raise ValueError("initial_states must be listed in files")

    def _check_mask_rule(self) -> None:
        if self.mask_exponent not in MASK_EXPONENTS or not 0 <= self.mask_own_gain <= 1:
            raise ValueError("mask_exponent must be one of MASK_EXPONENTS, and mask_own_gain from 0 to 1")
        if self.mask_own_gain and self.remainder is None:
            # Shares sum to 1, but gains need not: the remainder must take up the difference.
            raise ValueError("mask_own_gain needs a remainder")


def read_manifest(folder: Path) -> MaskManifest:
    """Return the manifest of a model folder. The other files are not read.

    Raises EngineUnavailableError if there is no manifest, or if it has another format.
    """
    document = read_document(folder)
    if document.pop("family") != FAMILY:
        raise EngineUnavailableError(f"The model in {folder} is not one that masks a spectrogram.")
    return manifest_from_document(document, MaskManifest, folder)


def write_manifest(folder: Path, manifest: MaskManifest) -> None:
    """Write the manifest into a model folder."""
    write_document(folder, {"family": FAMILY, **asdict(manifest)})
