"""What an engine is: samples in by random access, stems out in consecutive blocks.

Owns the types that every engine and the pipeline share; owns no signal processing.
An engine never sees a file, a job or a queue. It reads the mixture from a `Source` as often as
it likes (the decoded audio lies in a scratch file), and yields all stems together, block by block,
so that neither side ever holds a whole song.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

Progress = Callable[[float], None]
"""Called with the fraction done, 0 to 1, never falling; cheap to call often."""


class Source(Protocol):
    """The mixture, decoded: float32, full scale at -1 to 1, readable at any place and as often as needed."""

    @property
    def sample_rate_hz(self) -> int:
        """Samples per second and channel."""

    @property
    def channels(self) -> int:
        """Number of channels, 1 to 8."""

    @property
    def n_samples(self) -> int:
        """Samples per channel."""

    def read(self, start: int, stop: int) -> FloatArray:
        """Return samples `start` to `stop` as a new C-contiguous array of shape (channels, stop - start).

        Raises ValueError unless 0 <= start <= stop <= n_samples.
        """


@dataclass(frozen=True)
class Parameter:
    """One setting of an engine that a job may give.

    `kind` is `number`, `integer` or `choice`; `minimum` and `maximum` bound the first two,
    `choices` the last.
    """

    name: str
    kind: str
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preset:
    """A named set of parameters for one purpose.

    `scores` are measured medians in dB (`vocals_sdr_db`, `accompaniment_sdr_db`);
    `max_seconds` is the longest track it takes, None for any length.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    min_seconds: float = 0.0
    max_seconds: float | None = None


@dataclass(frozen=True)
class EngineDescription:
    """All that clients and the API may know of an engine; plain data, ready for JSON by `dataclasses.asdict`.

    `version` changes whenever the same input gives other stems. `context_seconds` is how far around an
    excerpt the engine reads to separate it as it would within the song. `passes` is how often it reads the source.
    `precision` is the numeric form in which it computes here, which others of its version do not share.
    """

    name: str
    version: str
    title: str
    summary: str
    stems: tuple[str, ...]
    presets: tuple[Preset, ...]
    default_preset: str
    parameters: tuple[Parameter, ...] = ()
    licence: str = ""
    passes: int = 1
    context_seconds: float = 0.0
    precision: str = "float32"
    real_time_factor: float | None = None


class Engine(Protocol):
    """One engine with its preset and parameters resolved, ready to separate any number of tracks in turn.

    Stems that do not sum to the mixture leave a residual, which the pipeline measures and reports.
    """

    @property
    def description(self) -> EngineDescription:
        """What the engine tells of itself."""

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems, in the order in which `separate` yields them."""

    def check(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        """Raise an `EngineError` if a track of this shape cannot be separated. Costs nothing."""

    def peak_bytes(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> int:
        """An upper bound of the memory that `separate` allocates for a track of this shape."""

    def separate(
        self,
        source: Source,
        *,
        start: int = 0,
        stop: int | None = None,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[FloatArray]:
        """Yield the stems of samples `start` to `stop` (default: all) of the source.

        Parameters
        ----------
        source
            The mixture. Samples around the wanted range may be read, at most `context_seconds` to each side.
        start, stop
            The wanted range in samples.
        threads
            How many threads may run at once, the caller's own included.
        progress
            Told how far the work is.

        Yields
        ------
        ndarray, shape (len(stems), channels, n), float32
            Consecutive samples; the lengths n are the engine's choice and sum to exactly `stop - start`.
            An array is valid until the next is asked for. Same rate and channels as the source, always finite.

        Raises
        ------
        EngineError
            Before the first block, if the track cannot be separated.
        """

    def close(self) -> None:
        """Let go of what `separate` holds between tracks (a loaded network); the next call takes it up again."""


@runtime_checkable
class Preparable(Protocol):
    """An engine that has something to load, which can be done while the track is decoded."""

    def prepare(self) -> None:
        """Load what `separate` would else load first. Called on a thread of its own, before `separate`.

        Raises EngineError where `separate` would.
        """


@runtime_checkable
class WorksAhead(Protocol):
    """An engine whose other threads work on while its caller is busy with a block; the caller's waits for it to return.

    Any other engine rests between two blocks, and leaves the cores to its caller.
    """

    @property
    def works_ahead(self) -> bool:
        """True."""
