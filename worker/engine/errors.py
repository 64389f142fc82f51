"""What an engine can refuse. Owns the codes that engines raise; the pipeline passes them on unchanged."""

from __future__ import annotations


class EngineError(Exception):
    """The engine cannot do what was asked, and doing it again will not help.

    Parameters
    ----------
    code
        A stable name in snake case that programs can rely on.
    message
        One sentence for the person who asked.
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
    """The track is longer than the engine, or this preset of it, takes."""

    def __init__(self, message: str) -> None:
        super().__init__("audio_too_long", message)


class InvalidParameterError(EngineError):
    """A preset or a parameter is unknown or out of its range."""

    def __init__(self, message: str) -> None:
        super().__init__("parameter_invalid", message)


class EngineUnavailableError(EngineError):
    """The engine is known but cannot run here: its model or its packages are missing."""

    def __init__(self, message: str) -> None:
        super().__init__("engine_unavailable", message)
