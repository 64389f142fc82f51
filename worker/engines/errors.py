"""The errors that engines raise, each with a stable code. The pipeline passes them on unchanged."""

from __future__ import annotations


class EngineError(Exception):
    """The engine cannot do what was asked. A retry helps only if the engine was unavailable.

    Parameters
    ----------
    code
        A stable name in snake case for programs.
    message
        One sentence for the user.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class TrackTooShortError(EngineError):
    """The track has fewer samples than the engine needs."""

    def __init__(self, message: str) -> None:
        super().__init__("audio_too_short", message)


class TrackTooLongError(EngineError):
    """The track is longer than the engine, or the chosen preset, accepts."""

    def __init__(self, message: str) -> None:
        super().__init__("audio_too_long", message)


class InvalidParameterError(EngineError):
    """A preset or a parameter is unknown, or its value is out of range."""

    def __init__(self, message: str) -> None:
        super().__init__("parameter_invalid", message)


class EngineUnavailableError(EngineError):
    """The engine exists but cannot run on this machine: its model or a package is missing."""

    def __init__(self, message: str) -> None:
        super().__init__("engine_unavailable", message)
