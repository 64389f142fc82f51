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
        Which of their sorted magnitudes is what repeats: 0.5 for the median.
    lean
        Added to the logarithm of every bin's odds to be voice: above 0 for a fuller voice, below 0 for a cleaner one.
    decisiveness
        Multiplies the logarithm of the odds: above 1 fewer bins are shared between the stems.
    least_share
        Share of the energy below which a second's voice is held for leakage and faded out.
    """

    neighbours: int = 10
    quantile: float = 0.5
    lean: float = 0.0
    decisiveness: float = 1.0
    least_share: float = 0.2


SETTINGS: Mapping[str, Settings] = {
    "default": Settings(),
    "clean-vocals": Settings(lean=-0.7, decisiveness=1.3, least_share=0.25),
    "clean-accompaniment": Settings(lean=1.0, least_share=0.15),
}
"""The presets of the streaming engine. `original` has no settings."""


def _scores(vocals_sdr_db: float, accompaniment_sdr_db: float) -> Mapping[str, float]:
    """Return the medians that `make bench` (separation_quality) measured."""
    return {"vocals_sdr_db": vocals_sdr_db, "accompaniment_sdr_db": accompaniment_sdr_db}


def _preset(name: str, description: str, *sdr_db: float) -> Preset:
    return Preset(name=name, description=description, parameters=asdict(SETTINGS[name]), scores=_scores(*sdr_db))


DESCRIPTION = EngineDescription(
    name="repetition",
    version="3",
    title="Repetition",
    summary="Takes what is steady and does not repeat for the voice. Needs no trained weights.",
    stems=("vocals", "accompaniment"),
    presets=(
        _preset("default", "Both stems as near to the truth as the method gets. Tracks of any length.", 3.0, 6.3),
        _preset("clean-vocals", "Less of the accompaniment in the vocals, which sound thinner.", 1.1, 5.5),
        _preset("clean-accompaniment", "Less of the voice in the accompaniment, for singing along.", 2.6, 4.9),
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
