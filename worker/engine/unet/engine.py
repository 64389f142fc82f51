"""The engine as the pipeline knows it: what it tells of itself and refuses, when it loads the networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worker.engine.errors import EngineError, InvalidParameterError
from worker.engine.interface import EngineDescription, FloatArray, Preset, Progress, Source
from worker.engine.unet.frames import FrameGrid
from worker.engine.unet.manifest import Manifest, read_manifest
from worker.engine.unet.network import Model, check_machine, load_model
from worker.engine.unet.rates import SETTLING_SECONDS
from worker.engine.unet.separation import Separation

DEFAULT_PRESET = "standard"

LOWEST_RATE_HZ = 1000
"""Below this a track is no music, and the source's few samples would fill chunks of minutes."""

ACTIVATION_BYTES = 256
"""What a network holds at once for each bin of a chunk, at most; measured, with a quarter to spare."""

SAMPLE_BYTES = 48
"""What two chunks under way and those that wait take for each sample and stem, spectra included;
measured."""


def describe(model_folder: Path) -> EngineDescription:
    """Return what the manifest in a model folder tells of its engine.

    Raises EngineUnavailableError without a model, or with one that was made for another machine.
    """
    return _description(_usable_manifest(model_folder))


def create(preset: str | None, parameters: Mapping[str, Any], *, model_folder: Path) -> MaskEngine:
    """Return the engine of a model folder, its networks not loaded yet.

    Raises EngineUnavailableError as `describe` does, InvalidParameterError for an unknown preset or parameter.
    """
    manifest = _usable_manifest(model_folder)
    if preset not in {None, DEFAULT_PRESET}:
        raise InvalidParameterError(f"The engine {manifest.name} has no preset {preset!r}; it has {DEFAULT_PRESET!r}.")
    if parameters:
        raise InvalidParameterError(f"The engine {manifest.name} takes no parameters.")
    return MaskEngine(model_folder, manifest)


class MaskEngine:
    """An engine that multiplies the mixture's spectrum with masks that networks tell.

    Tracks with more channels than the networks take are separated in groups of neighbours (pairs, for a
    stereo network); a group that is not full repeats its last channel and averages the masks of the copies,
    so mono is stereo with two equal sides. Tracks at other rates than the networks' are resampled; only the
    masked stems pass through the resampler, the remainder is subtracted at the track's own rate and keeps
    what lies above.
    """

    works_ahead = True

    def __init__(self, model_folder: Path, manifest: Manifest) -> None:
        self._folder = model_folder
        self._manifest = manifest
        self._model: Model | None = None

    @property
    def description(self) -> EngineDescription:
        """What the engine tells of itself."""
        return _description(self._manifest)

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems, in the order in which `separate` yields them."""
        return self._manifest.stems

    def check(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:  # noqa: ARG002
        """Raise an EngineError if the rate is below `LOWEST_RATE_HZ`; everything else can be separated."""
        if sample_rate_hz < LOWEST_RATE_HZ:
            raise EngineError(
                "sample_rate_unsupported",
                f"At {sample_rate_hz} Hz the track is below the {LOWEST_RATE_HZ} Hz that this engine needs.",
            )

    def peak_bytes(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> int:  # noqa: ARG002
        """An upper bound of the memory that `separate` allocates on two threads, the network included."""
        manifest, grid = self._manifest, FrameGrid.of(self._manifest)
        weights = sum((self._folder / name).stat().st_size for name in manifest.files)
        activations = 2 * ACTIVATION_BYTES * manifest.chunk_frames * manifest.bins
        ratio = max(1.0, sample_rate_hz / manifest.sample_rate_hz)
        per_channel = SAMPLE_BYTES * len(manifest.stems) * int(grid.chunk_samples * ratio)
        further_groups = -(-channels // manifest.channels) - 1
        states = further_groups * (self._folder / manifest.initial_states).stat().st_size
        return weights + activations + states + per_channel * channels

    def prepare(self) -> None:
        """Load the networks and what they begin with.

        Raises EngineUnavailableError if the model is missing or damaged.
        """
        self._loaded_model().initial_states.read_ahead()

    def close(self) -> None:
        """Free the networks. The next call of `separate` loads them again."""
        self._model = None

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
            The mixture.
        start, stop
            The wanted range in samples.
        threads
            How many threads work at once. The samples do not depend on it.
        progress
            Told how far the work is, after each chunk.

        Yields
        ------
        ndarray, shape (len(stems), channels, n), float32
            Consecutive samples of all stems, as many as a chunk completes; n sums to `stop - start`.

        Raises
        ------
        EngineError
            Before the first block, if the rate is too low or the model is missing or damaged.
        """
        wanted = range(start, source.n_samples if stop is None else stop)
        self.check(sample_rate_hz=source.sample_rate_hz, channels=source.channels, n_samples=source.n_samples)
        if wanted:
            separation = Separation(self._manifest, self._loaded_model(), source, wanted)
            yield from separation.blocks(threads, progress or _ignore)

    def _loaded_model(self) -> Model:
        if self._model is None:
            self._model = load_model(self._folder, self._manifest)
        return self._model


def _usable_manifest(model_folder: Path) -> Manifest:
    manifest = read_manifest(model_folder)
    check_machine(model_folder, manifest)
    return manifest


def _description(manifest: Manifest) -> EngineDescription:
    grid = FrameGrid.of(manifest)
    frames = max(manifest.settling_frames, manifest.delay_frames) + 2 * manifest.chunk_frames
    network_seconds = (frames * grid.hop_length + 2 * grid.n_fft) / manifest.sample_rate_hz
    # Where rates differ, streams start at whole seconds at worst and settle, in and out.
    resampling_seconds = 2 * (1 + SETTLING_SECONDS) + 1
    return EngineDescription(
        name=manifest.name,
        version=manifest.version,
        title=manifest.title,
        summary=manifest.summary,
        stems=manifest.stems,
        presets=(Preset(DEFAULT_PRESET, "The network as it was trained.", scores=manifest.scores),),
        default_preset=DEFAULT_PRESET,
        licence=manifest.licence,
        context_seconds=network_seconds + resampling_seconds,
        precision=manifest.precision,
        real_time_factor=manifest.real_time_factor,
    )


def _ignore(_fraction: float) -> None:
    """Take the place of a listener that nobody gave."""
