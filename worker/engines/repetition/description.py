"""The description of the repetition engine (stems, presets, limits) and the settings behind each preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from worker.engines.interface import EngineDescription, Preset

ORIGINAL_MAX_SECONDS = 600.0
"""Longest track of the preset `original`, whose memory and time grow faster than the track: 10 minutes take about a
gigabyte."""

CONTEXT_SECONDS = 300.0
"""How many seconds before and after an excerpt the bank of frames can reach."""


@dataclass(frozen=True)
class PresetSettings:
    """The settings in which the presets differ.

    Attributes
    ----------
    neighbours
        Number of similar frames that are compared. More frames give smoother stems, but miss sounds that repeat rarely.
    quantile
        Which of the sorted magnitudes of these frames counts as repeating: 0.5 is the median.
    lean
        Added to the log odds of every bin to be voice: above 0 for a fuller voice, below 0 for a cleaner one.
    decisiveness
        Multiplies the log odds: above 1 fewer bins are shared between the stems.
    least_share
        The share of the energy below which a second's voice counts as leakage and is faded out.
    """

    neighbours: int = 10
    quantile: float = 0.5
    lean: float = 0.0
    decisiveness: float = 1.0
    least_share: float = 0.2


PRESET_SETTINGS: Mapping[str, PresetSettings] = {
    "default": PresetSettings(),
    "clean-vocals": PresetSettings(lean=-0.7, decisiveness=1.3, least_share=0.25),
    "clean-accompaniment": PresetSettings(lean=1.0, least_share=0.15),
}
"""The presets of `RepetitionEngine`. The preset `original` has no settings."""


def _scores(vocals_sdr_db: float, accompaniment_sdr_db: float) -> Mapping[str, float]:
    """Return the median scores that `make bench FAMILIES=separation_quality` measured."""
    return {"vocals_sdr_db": vocals_sdr_db, "accompaniment_sdr_db": accompaniment_sdr_db}


def _preset(name: str, description: str, *sdr_db: float) -> Preset:
    return Preset(name=name, description=description, parameters=asdict(PRESET_SETTINGS[name]), scores=_scores(*sdr_db))


DESCRIPTION = EngineDescription(
    name="repetition",
    version="3",
    title="Repetition",
    summary="Treats steady sounds that do not repeat as the voice. Needs no trained weights.",
    stems=("vocals", "accompaniment"),
    presets=(
        _preset("default", "Best quality of both stems. Tracks of any length.", 3.0, 6.3),
        _preset("clean-vocals", "Less accompaniment in the vocals, which sound thinner.", 1.1, 5.5),
        _preset("clean-accompaniment", "Less voice in the accompaniment, for singing along.", 2.6, 4.9),
        Preset(
            name="original",
            description="The blog post's method, as librosa computes it. Slow; for tracks of up to 10 minutes.",
            scores=_scores(0.1, 1.6),
            min_seconds=4.2,
            max_seconds=ORIGINAL_MAX_SECONDS,
        ),
    ),
    default_preset="default",
    licence="MIT, as all of stemqueue. There are no trained weights.",
    author="stemqueue, after Z. Rafii and B. Pardo (ISMIR 2012)",
    scores_from="four excerpts of one electronic album, measured here",
    passes=2,
    context_seconds=CONTEXT_SECONDS,
)
