"""What the repetition engine tells of itself: its stems, presets and limits, all plain data.

Owns the settings behind the presets; what they do is the business of the modules beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from worker.engine.interface import EngineDescription, Preset

ORIGINAL_MAX_SECONDS = 600.0
"""Memory and time of `original` grow faster than the song; this keeps a song within about a gigabyte."""

CONTEXT_SECONDS = 300.0
"""How far around a range the bank of repetitions can reach."""


@dataclass(frozen=True)
class Settings:
    """What the presets differ in.

    Attributes
    ----------
    neighbours
        How many alike frames tell what repeats. More are smoother and find less that is rare.
    quantile
        Which of their sorted magnitudes is the background: 0.5 for the median. Lower for a
        fuller voice, since some of the alike moments are sung too.
    margin
        How many times the background a bin must exceed; above 1 for a cleaner voice.
    exponent
        Power of the gain; below 1 for a fuller voice, above 1 for a cleaner one.
    struck_radius_bins
        Bins to either side over which drum strokes, which are spread over all frequencies, are found.
    low_hz, high_hz
        The range of voices; gains fall by 18 dB per octave outside.
    least_share
        Share of the energy below which a second's foreground is held for leakage and faded out.
    """

    neighbours: int = 40
    quantile: float = 0.4
    margin: float = 1.0
    exponent: float = 0.9
    struck_radius_bins: int = 8
    low_hz: float = 150.0
    high_hz: float = 8000.0
    least_share: float = 0.2


SETTINGS: Mapping[str, Settings] = {
    "default": Settings(),
    "clean-vocals": Settings(quantile=0.5, margin=1.5, exponent=1.0),
    "clean-accompaniment": Settings(quantile=0.3, exponent=0.5, least_share=0.15),
}
"""The presets of the streaming engine. `original` has no settings."""


def _scores(vocals_sdr_db: float, accompaniment_sdr_db: float) -> Mapping[str, float]:
    """Return the medians that `make bench` (repetition_quality) measured."""
    return {"vocals_sdr_db": vocals_sdr_db, "accompaniment_sdr_db": accompaniment_sdr_db}


def _preset(name: str, description: str, *sdr_db: float) -> Preset:
    return Preset(name=name, description=description, parameters=asdict(SETTINGS[name]), scores=_scores(*sdr_db))


DESCRIPTION = EngineDescription(
    name="repetition",
    version="1",
    title="Repetition",
    summary="Takes what repeats for the accompaniment and the rest for the voice. Needs no trained weights.",
    stems=("vocals", "accompaniment"),
    presets=(
        _preset("default", "Both stems as near to the truth as the method gets. Tracks of any length.", 2.9, 5.6),
        _preset("clean-vocals", "Less of the accompaniment in the vocals, which sound thinner.", 1.3, 5.1),
        _preset("clean-accompaniment", "Less of the voice in the accompaniment, for singing along.", 2.7, 4.7),
        Preset(
            name="original",
            description="The blog post's method as librosa computes it. Slow; up to 10 minutes.",
            scores=_scores(0.1, 1.6),
            min_seconds=4.2,
            max_seconds=ORIGINAL_MAX_SECONDS,
        ),
    ),
    default_preset="default",
    licence="MIT",
    passes=2,
    context_seconds=CONTEXT_SECONDS,
)
