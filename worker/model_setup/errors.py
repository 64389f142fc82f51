"""The errors of model set-up. Each message is one line for the person at the terminal."""

from __future__ import annotations


class ModelSetupError(Exception):
    """The model cannot be set up. The message says what to do."""


class WeightsMissingError(ModelSetupError):
    """The package with the weights is not installed, or differs from the published one."""


class PrecisionUnavailableError(ModelSetupError):
    """The processor has no instructions for the precision that is asked for."""


class CheckpointError(ModelSetupError):
    """A checkpoint contains something other than named float32 arrays."""


class UnsafeModelError(ModelSetupError):
    """A file that was brought from elsewhere is not a network of the expected kind, or could harm this machine."""
