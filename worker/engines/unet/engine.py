"""The engine as the pipeline sees it: its description, the tracks it refuses, and when it loads the networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worker.engines.errors import InvalidParameterError
from worker.engines.interface import TYPICAL_TRACK, AudioSource, EngineDescription, FloatArray, Progress
from worker.engines.level import gain_to_peak, level_of
from worker.engines.model_folder import size_of_files
from worker.engines.network_engine import check_preset, check_rate, described_facts, ignore_progress
from worker.engines.rates import SETTLING_SECONDS
from worker.engines.unet.chunk_grid import ChunkGrid
from worker.engines.unet.model_manifest import MaskManifest, read_manifest
from worker.engines.unet.network import Model, check_machine, load_model
from worker.engines.unet.separation import Separation

ACTIVATION_BYTES = 256
"""Upper bound of what a network holds at once for each bin of a chunk; measured, with a quarter to spare."""

SAMPLE_BYTES = 48
"""Bytes for each sample and stem, spectra included, of the two chunks in progress and those that wait; measured."""


def describe(model_folder: Path) -> EngineDescription:
    """Return the description of the engine in a model folder.

    Raises EngineUnavailableError if there is no model, or if it was built for another machine.
    """
    return MaskEngine(model_folder, _usable_manifest(model_folder)).description


def create(preset: str | None, parameters: Mapping[str, Any], *, model_folder: Path) -> MaskEngine:
    """Return the engine of a model folder. Its networks are not loaded yet.

    Raises EngineUnavailableError as `describe` does, InvalidParameterError for an unknown preset or parameter.
    """
    manifest = _usable_manifest(model_folder)
    check_preset(manifest.name, preset)
    if parameters:
        raise InvalidParameterError(f"The engine {manifest.name} takes no parameters.")
    return MaskEngine(model_folder, manifest)


class MaskEngine:
    """An engine that multiplies the mixture's spectrum with masks that come from neural networks.

    Tracks with more channels than the networks take are separated in groups of neighbouring channels (pairs, for a
    stereo network). An incomplete group repeats its last channel and averages the gains of the copies, so mono is
    treated as stereo with two equal sides.

    Tracks with another sample rate than the networks' are resampled. Only the masked stems pass through the resampler;
    the remainder is computed at the track's own rate, so it keeps what lies above the networks' range.

    With a `fed_peak` in the manifest, the networks read each track as if it had this peak. So the stems of a quiet
    track are those of a loud one, only quiet.
    """

    works_ahead = True

    def __init__(self, model_folder: Path, manifest: MaskManifest) -> None:
        self._folder = model_folder
        self._manifest = manifest
        self._model: Model | None = None

    @property
    def description(self) -> EngineDescription:
        """The description of the engine for clients."""
        return _description(self._manifest, self.peak_bytes(**TYPICAL_TRACK))

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems, in the order in which `separate` yields them."""
        return self._manifest.stems

    @property
    def uses_level(self) -> bool:
        """Whether the stems depend on the level of the whole song."""
        return self._manifest.fed_peak is not None

    def check_track(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:  # noqa: ARG002
        """Raise an EngineError if the rate is below the lowest of all networks; every other track can be separated."""
        check_rate(sample_rate_hz)

    def peak_bytes(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> int:  # noqa: ARG002
        """Return an upper bound of the memory that `separate` allocates on two threads, in bytes, networks included."""
        manifest, grid = self._manifest, ChunkGrid.from_manifest(self._manifest)
        weights = size_of_files(self._folder, manifest.files)
        activations = 2 * ACTIVATION_BYTES * manifest.chunk_frames * manifest.bins
        ratio = max(1.0, sample_rate_hz / manifest.sample_rate_hz)
        per_channel = SAMPLE_BYTES * len(manifest.stems) * int(grid.chunk_samples * ratio)
        further_groups = -(-channels // manifest.channels) - 1
        states = further_groups * (self._folder / manifest.initial_states).stat().st_size
        return weights + activations + states + per_channel * channels

    def prepare(self) -> None:
        """Load the networks and the states that a track begins with.

        Raises EngineUnavailableError if the model is missing or damaged.
        """
        self._loaded_model().initial_states.read_ahead()

    def release_memory(self) -> None:
        """Free the networks. The next `separate` loads them again."""
        self._model = None

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
            The mixture. If it does not know the level of the song, it is the whole song, and is measured first.
        start, stop
            The range in samples; by default the whole track.
        threads
            How many threads run at once, including the caller's. The samples do not depend on it.
        progress
            Is called after each chunk.

        Yields
        ------
        ndarray, shape (len(stems), channels, n), float32
            The samples that a chunk completes; the lengths n sum to `stop - start`.

        Raises
        ------
        EngineError
            Before the first block, if the sample rate is too low or the model is missing or damaged.

        Notes
        -----
        Peak memory is at most `peak_bytes`. After A. Jansson et al., "Singing Voice Separation with Deep U-Net
        Convolutional Networks", ISMIR 2017, and R. Hennequin et al., "Spleeter", JOSS 2020; the README beside this file
        says what is different here.
        """
        wanted = range(start, source.n_samples if stop is None else stop)
        self.check_track(sample_rate_hz=source.sample_rate_hz, channels=source.channels, n_samples=source.n_samples)
        if wanted:
            peak = self._manifest.fed_peak
            gain = 1.0 if peak is None else gain_to_peak(level_of(source), peak)
            separation = Separation(self._manifest, self._loaded_model(), source, wanted, gain=gain)
            yield from separation.separate_blocks(threads, progress or ignore_progress)

    def _loaded_model(self) -> Model:
        if self._model is None:
            self._model = load_model(self._folder, self._manifest)
        return self._model


def _usable_manifest(model_folder: Path) -> MaskManifest:
    manifest = read_manifest(model_folder)
    check_machine(model_folder, manifest)
    return manifest


def _description(manifest: MaskManifest, memory_bytes: int) -> EngineDescription:
    grid = ChunkGrid.from_manifest(manifest)
    frames = max(manifest.settling_frames, manifest.delay_frames) + 2 * manifest.chunk_frames
    network_seconds = (frames * grid.hop_length + 2 * grid.n_fft) / manifest.sample_rate_hz
    # With different rates, streams start up to a second early at each end, and settle in both resamplers.
    resampling_seconds = 2 * (1 + SETTLING_SECONDS) + 1
    return EngineDescription(
        **described_facts(manifest),
        context_seconds=network_seconds + resampling_seconds,
        scores_from=manifest.origin.get("scores_from", ""),
        memory_bytes=memory_bytes,
    )
