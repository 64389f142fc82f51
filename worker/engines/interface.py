"""The interface between engines and the pipeline, and the types that both use.

An engine never sees a file, a job or a queue. It reads the mixture from an `AudioSource` at any place and as often
as it likes (the decoded audio lies in a scratch file). It yields all stems together, block by block, so neither the
engine nor the pipeline ever holds a whole song.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

Progress = Callable[[float], None]
"""Called with the fraction that is done, from 0 to 1, never falling. Cheap enough to call often."""


class AudioSource(Protocol):
    """The decoded mixture: float32, full scale at -1 to 1, with random access."""

    @property
    def sample_rate_hz(self) -> int:
        """Samples per second and channel."""

    @property
    def channels(self) -> int:
        """Number of channels, 1 to 8."""

    @property
    def n_samples(self) -> int:
        """Samples per channel."""

    def read_samples(self, start: int, stop: int) -> FloatArray:
        """Return the samples `start` to `stop` as a new C-contiguous array of shape (channels, stop - start).

        Raises ValueError unless 0 <= start <= stop <= n_samples.
        """


@dataclass(frozen=True)
class Parameter:
    """One setting of an engine that a job may give.

    `kind` is `number`, `integer` or `choice`. `minimum` and `maximum` bound numbers and integers; `choices` lists
    the values of a choice.
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

    `scores` are measured medians in dB (`vocals_sdr_db`, `accompaniment_sdr_db`). `max_seconds` is the length of the
    longest track that the preset accepts; None means any length.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    min_seconds: float = 0.0
    max_seconds: float | None = None


VOCALS, ACCOMPANIMENT = "vocals", "accompaniment"


def derived_stems(stems: tuple[str, ...]) -> tuple[str, ...]:
    """Return the additional stems that the pipeline can make from the stems of an engine.

    If the engine has vocals and no accompaniment, this is the accompaniment: the song minus the vocals.
    """
    return (ACCOMPANIMENT,) if VOCALS in stems and ACCOMPANIMENT not in stems else ()


TYPICAL_TRACK = {"sample_rate_hz": 44_100, "channels": 2, "n_samples": 4 * 60 * 44_100}
"""The track for which a description gives the memory: four minutes of stereo."""


@dataclass(frozen=True)
class EngineDescription:
    """Everything that clients and the API may know of an engine. Plain data: `dataclasses.asdict` gives JSON.

    `derived_stems` follow from `stems`. A job gets them only if it asks for them, and they do not count for the
    residual.
    `version` changes whenever the same input gives different stems. `context_seconds` is how far around an excerpt
    the engine reads, to separate the excerpt as it would within the song. `passes` is how often it reads the source.
    `precision` is the numeric format in which it computes on this machine; stems of one version differ slightly
    between precisions. `real_time_factor` is how many seconds of stereo it separates in one second on this machine,
    with two processors. `memory_bytes` is what it allocates at most for four minutes of stereo at 44.1 kHz.

    `author` and `licence` tell whose it is and under which licence, in the author's words, which stand at
    `licence_source`. `scores_from` names the songs of the presets' scores.
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
    author: str = ""
    licence_source: str = ""
    scores_from: str = ""
    memory_bytes: int | None = None
    derived_stems: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        """Fill in `derived_stems`."""
        object.__setattr__(self, "derived_stems", derived_stems(self.stems))


class SeparationEngine(Protocol):
    """An engine with its preset and parameters resolved. It can separate any number of tracks, one after another.

    The stems need not sum to the mixture. The pipeline measures and reports what is left, the residual.
    """

    @property
    def description(self) -> EngineDescription:
        """The description of the engine for clients."""

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems, in the order in which `separate` yields them."""

    def check_track(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:
        """Raise an `EngineError` if a track of this shape cannot be separated. Reads and computes nothing."""

    def peak_bytes(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> int:
        """Return an upper bound of the memory that `separate` allocates for a track of this shape, in bytes."""

    def separate(
        self,
        source: AudioSource,
        *,
        start: int = 0,
        stop: int | None = None,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[FloatArray]:
        """Yield the stems of the samples `start` to `stop` of the source.

        Parameters
        ----------
        source
            The mixture. The engine may read at most `context_seconds` beyond the range on each side.
        start, stop
            The range in samples; by default the whole track.
        threads
            How many threads may run at once, including the caller's.
        progress
            Is called with the fraction that is done.

        Yields
        ------
        ndarray, shape (len(stems), channels, n), float32
            Consecutive samples. The engine chooses the lengths n; they sum to exactly `stop - start`. Rate and
            channels are those of the source, and all samples are finite. A block is valid until the next is
            requested.

        Raises
        ------
        EngineError
            Before the first block, if the track cannot be separated.
        """

    def release_memory(self) -> None:
        """Free what the engine keeps between tracks, such as a loaded network. The next `separate` loads it again."""


@runtime_checkable
class Preparable(Protocol):
    """An engine that has something to load. The pipeline loads it while the track is being decoded."""

    def prepare(self) -> None:
        """Load what `separate` would otherwise load first. Called before `separate`, on a thread of its own.

        Raises EngineError where `separate` would.
        """


@runtime_checkable
class WorksAhead(Protocol):
    """An engine whose threads keep working while its caller processes a block. Only the caller's own thread pauses.

    Every other engine is idle between two blocks, so its cores are free for the caller.
    """

    @property
    def works_ahead(self) -> bool:
        """True."""


@runtime_checkable
class UsesLevel(Protocol):
    """An engine whose stems may depend on the level of the whole song (`worker.engines.level`).

    For an excerpt the pipeline decodes the whole song for such an engine, so the excerpt has the samples of the whole.
    """

    @property
    def uses_level(self) -> bool:
        """Whether they do."""
