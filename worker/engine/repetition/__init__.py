"""Separation without trained weights: what repeats is accompaniment, what does not is voice.

Owns the description of the engine and the choice between its two forms; the signal processing lies in
the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.engine.errors import InvalidParameterError
from worker.engine.interface import Engine, EngineDescription
from worker.engine.repetition.description import DESCRIPTION
from worker.engine.repetition.engine import RepetitionEngine, Settings
from worker.engine.repetition.original import OriginalEngine

__all__ = ["DESCRIPTION", "EngineDescription", "create"]


def create(preset: str | None, parameters: Mapping[str, object]) -> Engine:
    """Return the engine for `preset` (None: the default) with `parameters` on top of the preset's own.

    Raises InvalidParameterError for a preset or a parameter that is unknown or out of its range.
    """
    name = preset or DESCRIPTION.default_preset
    presets = {known.name: known for known in DESCRIPTION.presets}
    if name not in presets:
        raise InvalidParameterError(f"Preset {name!r} is unknown; there are {', '.join(presets)}.")
    if parameters:
        raise InvalidParameterError(f"Parameter {min(parameters)!r} is unknown.")
    return OriginalEngine() if name == "original" else RepetitionEngine(Settings())
