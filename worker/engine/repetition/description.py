"""What the repetition engine tells of itself: its stems, presets and limits, all plain data."""

from __future__ import annotations

from worker.engine.interface import EngineDescription, Preset

ORIGINAL_MAX_SECONDS = 600.0
"""Memory and time of `original` grow faster than the song; this keeps a song within some gigabytes."""

DESCRIPTION = EngineDescription(
    name="repetition",
    version="1",
    title="Repetition",
    summary="Takes what repeats for the accompaniment and the rest for the voice. Needs no trained weights.",
    stems=("vocals", "accompaniment"),
    presets=(
        Preset(
            name="default",
            description="The most faithful vocals and accompaniment; tracks of any length.",
        ),
        Preset(
            name="original",
            description="The method of librosa's gallery with the margins 3 and 11, as librosa computes it.",
            min_seconds=4.2,
            max_seconds=ORIGINAL_MAX_SECONDS,
        ),
    ),
    default_preset="default",
    licence="MIT",
    context_seconds=ORIGINAL_MAX_SECONDS,
)
