"""The engine as the pipeline sees it: its description, its parameters, and when it loads the networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worker.engines.errors import EngineUnavailableError, InvalidParameterError
from worker.engines.interface import (
    TYPICAL_TRACK,
    AudioSource,
    EngineDescription,
    FloatArray,
    Parameter,
    Progress,
)
from worker.engines.level import level_of
from worker.engines.machine import describe_machine
from worker.engines.model_folder import size_of_files, verify_files
from worker.engines.network_engine import check_preset, check_rate, described_facts, ignore_progress
from worker.engines.rates import SETTLING_SECONDS
from worker.engines.segments.family import SegmentFamily, SegmentNetwork
from worker.engines.segments.graph_files import packages_of
from worker.engines.segments.manifest import SegmentManifest, read_segment_manifest
from worker.engines.segments.separation import LoadedModel, SegmentSeparation

REST_STEM = "other"
"""The stem that may take up whatever the other stems leave."""

SAMPLE_BYTES = 32
"""Upper bound of the bytes for each sample of a segment and stem, in addition to the memory of the networks."""


def describe_model(folder: Path, family: SegmentFamily) -> EngineDescription:
    """Return the description of the engine in a model folder.

    Raises EngineUnavailableError if there is no valid model, or if it was built for another machine.
    """
    return SegmentEngine(folder, _usable_manifest(folder, family), family, fill_rest=False).description


def create_engine(
    preset: str | None, parameters: Mapping[str, Any], *, model_folder: Path, family: SegmentFamily
) -> SegmentEngine:
    """Return the engine of a model folder. Its networks are not loaded yet.

    Raises EngineUnavailableError as `describe_model` does, InvalidParameterError for an unknown preset or parameter.
    """
    manifest = _usable_manifest(model_folder, family)
    check_preset(manifest.name, preset)
    known = {parameter.name for parameter in _parameters(manifest)}
    for name in parameters:
        if name not in known:
            raise InvalidParameterError(f"The engine {manifest.name} has no parameter {name!r}.")
    remainder = parameters.get("remainder", "none")
    if remainder not in {"none", REST_STEM}:
        raise InvalidParameterError(f"remainder must be 'none' or {REST_STEM!r}.")
    return SegmentEngine(model_folder, manifest, family, fill_rest=remainder == REST_STEM)


class SegmentEngine:
    """An engine that separates a song segment by segment.

    Tracks with more channels than the networks take are separated in groups of neighbouring channels. Tracks with
    another sample rate than the networks' are resampled. A remainder is computed at the track's own rate, so it keeps
    what lies above the networks' range.
    """

    uses_level = True

    def __init__(self, folder: Path, manifest: SegmentManifest, family: SegmentFamily, *, fill_rest: bool) -> None:
        self._folder = folder
        self._manifest = manifest
        self._family = family
        self._fill_rest = fill_rest
        self._loaded: tuple[int, SegmentNetwork] | None = None

    @property
    def description(self) -> EngineDescription:
        """The description of the engine for clients."""
        return _description(self._manifest, self._family, self.peak_bytes(**TYPICAL_TRACK))

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of the stems, in the order in which `separate` yields them."""
        return self._manifest.stems

    def check_track(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> None:  # noqa: ARG002
        """Raise an EngineError if the rate is below the lowest of all networks; every other track can be separated."""
        check_rate(sample_rate_hz)

    def peak_bytes(self, *, sample_rate_hz: int, channels: int, n_samples: int) -> int:  # noqa: ARG002
        """Return an upper bound of the memory that `separate` allocates, in bytes, networks included."""
        weights = size_of_files(self._folder, self._manifest.files)
        ratio = max(1.0, sample_rate_hz / self._manifest.sample_rate_hz)
        samples = int(self._family.grid(self._manifest).segment_samples * ratio)
        return weights + self._manifest.activation_bytes + SAMPLE_BYTES * (len(self.stems) + 1) * channels * samples

    def release_memory(self) -> None:
        """Free the networks. The next `separate` loads them again."""
        self._loaded = None

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
            The number of threads that run at once. The caller's thread waits. The samples do not depend on the number.
        progress
            Is called several times a second.

        Yields
        ------
        ndarray, shape (len(stems), channels, n), float32
            The samples that a segment completes; the lengths n sum to `stop - start`.

        Raises
        ------
        EngineError
            Before the first block, if the sample rate is too low or the model is missing or damaged.

        Notes
        -----
        Peak memory is at most `peak_bytes`, for any length of track.
        """
        wanted = range(start, source.n_samples if stop is None else stop)
        self.check_track(sample_rate_hz=source.sample_rate_hz, channels=source.channels, n_samples=source.n_samples)
        if wanted:
            manifest, feed = self._manifest, self._family.feed(level_of(source))
            rest = REST_STEM if self._fill_rest else manifest.remainder
            model = LoadedModel(manifest, self._family.grid(manifest), self._loaded_network(threads), rest)
            yield from SegmentSeparation(model, feed, source, wanted).separate_blocks(progress or ignore_progress)

    def _loaded_network(self, threads: int) -> SegmentNetwork:
        if self._loaded is None or self._loaded[0] != threads:
            self._loaded = None
            verify_files(self._folder, self._manifest.files)
            self._loaded = threads, self._family.load(self._folder, self._manifest, threads)
        return self._loaded[1]


def _usable_manifest(folder: Path, family: SegmentFamily) -> SegmentManifest:
    manifest = read_segment_manifest(folder)
    if manifest.family != family.name:
        raise EngineUnavailableError(f"The model in {folder} is of the family {manifest.family}, not {family.name}.")
    try:
        family.check_settings(manifest)
        family.grid(manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise EngineUnavailableError(f"The manifest in {folder} is not valid; set the model up again.") from error
    packages = packages_of(manifest.networks)
    if manifest.built_for and describe_machine(packages) != manifest.built_for:
        raise EngineUnavailableError(
            f"The model in {folder} was optimised for another processor or another {packages[0]}; set it up again."
        )
    return manifest


def _parameters(manifest: SegmentManifest) -> tuple[Parameter, ...]:
    """Return the parameters of a model's engine: what to do with the remainder, where the network estimates it too."""
    if manifest.remainder is not None or REST_STEM not in manifest.stems or len(manifest.stems) == 1:
        return ()
    text = (
        "`other`: the stem `other` is the song minus the other stems, so all stems sum to the song; `none`: it is not"
    )
    return (Parameter("remainder", "choice", text, choices=("none", REST_STEM)),)


def _description(manifest: SegmentManifest, family: SegmentFamily, memory_bytes: int) -> EngineDescription:
    seconds = 2 * family.grid(manifest).segment_samples / manifest.sample_rate_hz
    return EngineDescription(
        **described_facts(manifest),
        # With different rates, both resamplers settle, and start up to a second early.
        context_seconds=seconds + 5 + 4 * SETTLING_SECONDS,
        scores_from=manifest.scores_from,
        memory_bytes=memory_bytes,
    )
