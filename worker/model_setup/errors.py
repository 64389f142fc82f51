"""What can keep a model from being set up. Each message is one line for the person at the terminal."""

from __future__ import annotations


class SetupError(Exception):
    """The model cannot be set up, and the message says what to do."""


class WeightsMissingError(SetupError):
    """The distribution that carries the weights is not installed, or not as it was published."""


class CheckpointError(SetupError):
    """A checkpoint holds something other than named float32 arrays."""
