"""Separation without trained weights: what repeats is accompaniment, what does not is voice.

Owns the choice between the engine's two forms; the signal processing lies in the modules beside this one. These are
imported when an engine is made, not to describe it: numba takes 50 MB, for which a process of networks has no use.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worker.engine.errors import InvalidParameterError
from worker.engine.interface import Engine, FloatArray
from worker.engine.repetition.description import DESCRIPTION, SETTINGS

__all__ = ["DESCRIPTION", "create", "warm"]


def create(preset: str | None, parameters: Mapping[str, object]) -> Engine:
    """Return the engine for `preset` (None: the default).

    Raises InvalidParameterError if the preset is unknown, or for any parameter: the presets leave nothing
    to set.
    """
    name = DESCRIPTION.default_preset if preset is None else preset
    if parameters:
        raise InvalidParameterError(f"Parameter {min(parameters)!r} is unknown: repetition has presets only.")
    if name == "original":
        from worker.engine.repetition.original import OriginalEngine  # noqa: PLC0415 - see above

        return OriginalEngine()
    if name not in SETTINGS:
        known = ", ".join(known.name for known in DESCRIPTION.presets)
        raise InvalidParameterError(f"Preset {name!r} is unknown; repetition has {known}.")
    from worker.engine.repetition.engine import RepetitionEngine  # noqa: PLC0415 - see above

    return RepetitionEngine(SETTINGS[name])


class _Silence:
    """Six seconds of nothing, which pass through every compiled loop."""

    sample_rate_hz = 1000
    channels = 1
    n_samples = 6000

    def read(self, start: int, stop: int) -> FloatArray:
        return np.zeros((1, stop - start), np.float32)


def warm() -> None:
    """Compile all loops, or load them from numba's cache, so that the first job need not."""
    for preset in (DESCRIPTION.default_preset, "original"):
        for _ in create(preset, {}).separate(_Silence()):
            pass
