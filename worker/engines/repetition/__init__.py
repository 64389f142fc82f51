"""Separation without trained weights: what repeats is accompaniment, what does not repeat is voice.

`create` chooses between the two implementations of the method. They are imported when an engine is created and not
before: numba takes 50 MB, which a process that only runs networks should not spend.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worker.engines.errors import InvalidParameterError
from worker.engines.interface import FloatArray, SeparationEngine
from worker.engines.repetition.description import DESCRIPTION, PRESET_SETTINGS

__all__ = ["DESCRIPTION", "create", "warm_up"]


def create(preset: str | None, parameters: Mapping[str, object]) -> SeparationEngine:
    """Return the engine for `preset`; None means the default preset.

    Raises InvalidParameterError if the preset is unknown, or if there is any parameter: this engine has presets only.
    """
    name = DESCRIPTION.default_preset if preset is None else preset
    if parameters:
        raise InvalidParameterError(f"Parameter {min(parameters)!r} is unknown: repetition has presets only.")
    if name == "original":
        from worker.engines.repetition.original import OriginalEngine  # noqa: PLC0415 - see above

        return OriginalEngine()
    if name not in PRESET_SETTINGS:
        known = ", ".join(known.name for known in DESCRIPTION.presets)
        raise InvalidParameterError(f"Preset {name!r} is unknown; repetition has {known}.")
    from worker.engines.repetition.engine import RepetitionEngine  # noqa: PLC0415 - see above

    return RepetitionEngine(PRESET_SETTINGS[name])


class _Silence:
    """Six seconds of silence, long enough to pass through every compiled loop."""

    sample_rate_hz = 1000
    channels = 1
    n_samples = 6000

    def read_samples(self, start: int, stop: int) -> FloatArray:
        return np.zeros((1, stop - start), np.float32)


def warm_up() -> None:
    """Compile all loops, or load them from numba's cache, so that the first job does not wait for it."""
    for preset in (DESCRIPTION.default_preset, "original"):
        for _ in create(preset, {}).separate(_Silence()):
            pass
