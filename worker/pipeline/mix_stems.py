"""Mixes stems that an earlier run has made: no engine, no separation. Decode, measure, encode, label.

The stems are decoded to the scratch disk one after another, then mixed block by block: once to measure the peak, and
once to encode. They are mixed as they are, so their common gain and the losses of a lossy format stay.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shared.audio.formats import Encoding, check_options, holds_stems, resolve
from shared.audio.mixes import STEM_FILE_MIXES, Mix
from shared.errors import RequestInvalidError, ScratchFullError, SeparationFailedError
from worker.audio_files.channel_layouts import change_layout, source_layout
from worker.audio_files.decode import decode_file
from worker.audio_files.decoded_audio import DecodedAudio
from worker.audio_files.mixing import MixedBlock, MixFactors, factors_of
from worker.audio_files.probe import Probe, probe_file
from worker.audio_files.stem_files import StemFiles, common_gain
from worker.audio_files.stem_mp4 import TRACKS_FOLDER, join_files
from worker.audio_files.tags.fields import Tags
from worker.audio_files.tags.reading import read_tags
from worker.audio_files.tags.writing import output_that_was_separated, title_of_source
from worker.measurements.measure import SignalMeter
from worker.measurements.pictures import write_waveforms
from worker.pipeline.decoded_stems import DecodedBlock, DecodedStems
from worker.pipeline.label import complete_files
from worker.pipeline.output_descriptions import describe_format, describe_mixes, package_versions
from worker.run_messages import Outcome, ReportProbed, ReportProgress, Work, describe_file
from worker.run_support.process_memory import peak_memory_bytes, reset_peak_memory
from worker.run_support.stage_clock import StageClock
from worker.run_support.task_pool import TaskPool
from worker.run_support.workspace import Workspace, open_workspace


def mix_stems(work: Work, report_progress: ReportProgress, *, report_probed: ReportProbed | None = None) -> Outcome:
    """Do the work and return the outcome. `report_probed` is called early with the length of the stems.

    Raises StemqueueError, with the code that the client sees.
    """
    reset_peak_memory()
    check_options(work.format, work.format_options)
    if holds_stems(work.format) and [mix.name for mix in work.mixes] != [mix.name for mix in STEM_FILE_MIXES]:
        raise RequestInvalidError(f"{work.format} holds the song and four stems, and no other mixes.")
    stems = tuple(work.stem_paths)
    # Only the stems that are heard are fetched: `minus:vocals` comes without the vocals.
    heard = [replace(mix, gains_db=_audible(mix)) for mix in work.mixes]
    unknown = {name for mix in heard for name in mix.gains_db} - {*stems}
    # A stem file has silence where the engine has nothing for a track.
    is_empty = not holds_stems(work.format) and not all(mix.gains_db for mix in heard)
    if unknown or not heard or is_empty or any(mix.rest_db is not None for mix in heard):
        raise RequestInvalidError("The mixes do not match the stems that there are.")
    clock = StageClock(report_progress)
    Path(work.output_folder).mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        workspace = stack.enter_context(
            open_workspace(Path(work.scratch_folder), max_bytes=work.limits.max_scratch_bytes)
        )
        pool = stack.enter_context(TaskPool(work.limits.threads))
        run = _MixRun(work, [factors_of(mix, stems) for mix in heard], workspace, pool, clock)
        decoded, tags = run.decode_stems(report_probed)
        # Their titles are read as if they were made of the output that was separated: `Song (karaoke of vocals)`.
        titled = replace(work, source_output=run.separated_output)
        meters = run.measure(decoded)
        peak = max(meter.peak for meter in meters.values())
        encoding = run.encoding_of(decoded)
        gain = common_gain(encoding, peak)
        paths = run.encode(decoded, encoding, gain)
        with clock.stage("illustrate"):
            waveforms = write_waveforms(meters, decoded.track.audio.sample_rate_hz, Path(work.output_folder))
            first_stem = Path(next(iter(work.stem_paths.values())))
            mixes, notes = complete_files(titled, paths, tags, encoding=encoding, mixes=paths.keys(), source=first_stem)
        levels = {name: meter.levels(gain) for name, meter in meters.items()}
        described = describe_mixes(work, levels, encoding, decoded.track)
        report = {
            "source": decoded.source(work),
            "mixed_stems": {name: p.codec for name, p in zip(stems, decoded.probes, strict=True)},
            "format": describe_format(encoding),
            "mixes": described,
            "gain_db": round(20 * math.log10(gain), 3),
            "notes": [*decoded.notes(encoding, gain), *notes],
            **_describe_run(work, decoded, clock),
        }
        path = Path(work.output_folder) / "report.json"
        path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        written = describe_file(path, name="report", kind="report", content_type="application/json")
        files = [replace(file, details=described[file.name]) for file in mixes]
        return Outcome((*files, *waveforms, written), decoded.source(work), report)


class _MixRun:
    """The stages of one run, and what all of them use."""

    def __init__(
        self, work: Work, mixes: Sequence[MixFactors], workspace: Workspace, pool: TaskPool, clock: StageClock
    ) -> None:
        self._work, self._mixes, self._workspace, self._pool, self._clock = work, mixes, workspace, pool, clock
        self.separated_output: str | None = None
        """The output whose stems are mixed; None if a song was separated."""

    def decode_stems(self, report_probed: ReportProbed | None) -> tuple[DecodedStems, Tags | None]:
        """Decode each stem to the scratch disk; return them, and the song's tags, which the first of them has."""
        audio, probes = list[DecodedAudio](), list[Probe]()
        tags: Tags | None = None
        with self._clock.stage("decode"):
            for number, (name, path) in enumerate(self._work.stem_paths.items()):
                found = self._probe(Path(path))
                if not probes:
                    written = read_tags(replace(self._work, input_path=path), found, self._workspace)
                    tags = _song_tags(written, name)
                    self.separated_output = _separated_output(written, name)
                    if report_probed:
                        report_probed(_claims(found))
                    self._require_scratch(found)
                probes.append(found)
                audio.append(self._decode(Path(path), found, number))
        if len({(a.sample_rate_hz, a.channels) for a in audio}) > 1:
            raise SeparationFailedError("The stems differ in their sample rates or channels.")
        return DecodedStems(audio, probes, min(a.n_samples for a in audio)), tags

    def _require_scratch(self, found: Probe) -> None:
        """Raise ScratchFullError at once if all stems together need more of the scratch disk than one job may use."""
        n_stems, seconds = len(self._work.stem_paths), found.expected_seconds or 0.0
        needed = 4 * n_stems * seconds * (found.decoded_rate_hz or 0) * (found.channels or 0)
        if needed > self._workspace.max_bytes:
            raise ScratchFullError(
                f"To mix {n_stems} stems of {seconds / 3600:.2f} h, {needed / 1e9:.2f} GB of the worker's scratch disk "
                f"are needed, and one job may use {self._workspace.max_bytes / 1e9:.2f} GB (MAX_SCRATCH_BYTES). Ask "
                "for mixes of fewer stems, or for these mixes when the song is separated."
            )

    def _probe(self, path: Path) -> Probe:
        return probe_file(
            path,
            workspace=self._workspace,
            ffmpeg_path=self._work.ffmpeg_path,
            max_seconds=self._work.limits.max_audio_seconds,
        )

    def _decode(self, path: Path, found: Probe, number: int) -> DecodedAudio:
        n_stems = len(self._work.stem_paths)
        audio = decode_file(
            path,
            found,
            workspace=self._workspace,
            ffmpeg_path=self._work.ffmpeg_path,
            max_seconds=self._work.limits.max_audio_seconds,
            progress=lambda fraction: self._clock.report_fraction((number + fraction) / n_stems),
        )
        # The next stem is decoded to the same name.
        return replace(audio, path=audio.path.rename(self._workspace.path(f"stem-{number}.wav")))

    def measure(self, decoded: DecodedStems) -> Mapping[str, SignalMeter]:
        """Measure each mix."""
        track = decoded.track
        shape = {
            "sample_rate_hz": track.audio.sample_rate_hz,
            "channels": track.audio.channels,
            "n_samples": track.n_samples,
        }
        meters = {mix.name: SignalMeter(**shape) for mix in self._mixes}
        with self._clock.stage("separate"):
            n_done = 0
            for block in decoded.blocks():
                mixed = self._mixed(block)
                self._pool.run_tasks([partial(_measure, meter, mixed, n) for n, meter in enumerate(meters.values())])
                n_done += block.shape[2]
                self._clock.report_fraction(n_done / track.n_samples)
        return meters

    def _mixed(self, block: DecodedBlock) -> MixedBlock:
        # The song itself is in none of these mixes; the array is only used for its shape.
        nothing = np.zeros(block.shape[1:], dtype=np.float32)
        return MixedBlock(nothing, block, indexes=range(block.shape[0]), wanted=(), mixes=self._mixes)

    def encoding_of(self, decoded: DecodedStems) -> Encoding:
        """Return how the mixes are encoded. Raises RequestInvalidError."""
        audio = decoded.audio[0]
        layout = change_layout(self._work.format, source_layout(audio.channel_mask, audio.channels))
        return resolve(
            self._work.format,
            self._work.format_options,
            sample_rate_hz=audio.sample_rate_hz,
            channels=layout.channels,
        )

    def encode(self, decoded: DecodedStems, encoding: Encoding, gain: float) -> Mapping[str, Path]:
        """Write the mixes' files, all with the same gain; return their paths by name."""
        track = decoded.track
        n_written = 0
        folder = Path(self._work.output_folder)
        if encoding.format.holds_stems:
            folder /= TRACKS_FOLDER
            folder.mkdir()
        with (
            self._clock.stage("encode"),
            StemFiles(
                folder,
                [mix.name for mix in self._mixes],
                encoding,
                source_rate_hz=track.audio.sample_rate_hz,
                layout=change_layout(self._work.format, source_layout(track.audio.channel_mask, track.audio.channels)),
                n_samples=track.n_samples,
                pool=self._pool,
                ffmpeg_path=self._work.ffmpeg_path,
            ) as files,
        ):
            for block in decoded.blocks():
                files.write_block(self._mixed(block), gain)
                n_written += block.shape[2]
                self._clock.report_fraction(n_written / track.n_samples)
        if encoding.format.holds_stems:
            return join_files(files.paths, ffmpeg_path=self._work.ffmpeg_path)
        return files.paths


def _audible(mix: Mix) -> Mapping[str, float | None]:
    return {name: gain_db for name, gain_db in mix.gains_db.items() if gain_db is not None}


def _measure(meter: SignalMeter, mixed: MixedBlock, place: int) -> None:
    for task in meter.measuring_tasks(mixed[place]):
        task()


def _song_tags(tags: Tags | None, stem: str) -> Tags | None:
    """Return a stem's tags as the song has them: without the name of the stem at the end of the title."""
    if tags is None:
        return None
    titles = tuple(title_of_source(title, stem) for title in tags.fields.get("title", ()))
    return replace(tags, fields={**tags.fields, "title": titles}) if titles else tags


def _separated_output(tags: Tags | None, stem: str) -> str | None:
    titles = tags.fields.get("title", ()) if tags else ()
    return next((output for title in titles if (output := output_that_was_separated(title, stem))), None)


def _claims(found: Probe) -> dict[str, Any]:
    """Return what clients see of the source while the job runs."""
    return {
        "duration_seconds": found.expected_seconds,
        "walked_seconds": found.walked_seconds,
        "sample_rate_hz": found.sample_rate_hz,
        "channels": found.channels,
    }


def _describe_run(work: Work, decoded: DecodedStems, clock: StageClock) -> dict[str, Any]:
    total_seconds = sum(clock.seconds.values())
    return {
        "seconds": {**clock.seconds, "total": round(total_seconds, 3)},
        "real_time_factor": round(decoded.track.duration_seconds / max(total_seconds, 0.001), 2),
        "peak_memory_bytes": peak_memory_bytes(),
        "threads": work.limits.threads,
        "versions": {"ffmpeg": decoded.probes[0].ffmpeg_version, **package_versions()},
    }
