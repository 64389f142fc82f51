"""The pipeline: one separation from a file to files, in this process. Probe, decode, separate, encode, illustrate.

Each stage is a module of its own; this one decides their order and what passes between them. It knows nothing of jobs,
queues or storage: the supervisor's child process and `stemqueue-separate` call `separate_song` in the same way. Audio
passes in blocks, so a whole song is never in memory. Steps that do not depend on each other run at the same time,
within the job's number of threads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from shared.audio.formats import Encoding, resolve
from worker.audio_files.channel_layouts import LayoutChange, change_layout, source_layout
from worker.audio_files.decode import decode_file
from worker.audio_files.excerpt import Track, cut_excerpt
from worker.audio_files.mixing import MixedBlock
from worker.audio_files.probe import Probe, probe_file
from worker.audio_files.stem_files import StemBlock, StemFiles, common_gain
from worker.audio_files.stem_mp4 import TRACKS_FOLDER, join_files
from worker.audio_files.tags.fields import Tags
from worker.audio_files.tags.reading import read_tags
from worker.engines.interface import FloatArray, Preparable, UsesLevel
from worker.engines.registry import Registry, engines_here
from worker.measurements.music.meter import MusicMeter
from worker.measurements.pictures import draw_pictures, prepare_frame
from worker.pipeline.label import EncodedStems, LabelledStems, label_files
from worker.pipeline.mix_stems import mix_stems
from worker.pipeline.plan import RunPlan, make_plan
from worker.pipeline.report import RunFindings, write_report
from worker.pipeline.separate import pool_between_blocks, separate_and_measure, wanted_blocks
from worker.pipeline.stem_buffer import StemBuffer, choose_format
from worker.run_messages import Outcome, ReportProbed, ReportProgress, Work
from worker.run_support.process_memory import freeze_loaded_objects, give_memory_back, reset_peak_memory
from worker.run_support.stage_clock import StageClock
from worker.run_support.task_pool import TaskPool
from worker.run_support.workspace import Workspace, open_workspace

STEM_BUFFER_NAME = "stems"


def warm_up() -> None:
    """Import and initialise what the first run would otherwise wait for."""
    from worker.measurements import spectrogram_image  # noqa: PLC0415 - see there

    spectrogram_image.warm_up()
    engines_here()
    freeze_loaded_objects()


def separate_song(
    work: Work,
    report_progress: ReportProgress,
    *,
    report_probed: ReportProbed | None = None,
    registry: Registry | None = None,
) -> Outcome:
    """Do the work and return the outcome. `report_probed` is called early with the properties that the file declares.

    Work that names finished stems only mixes them. Raises StemqueueError or EngineError, with the code that the client
    sees.
    """
    if work.stem_paths:
        return mix_stems(work, report_progress, report_probed=report_probed)
    reset_peak_memory()
    n_modules = len(sys.modules)
    plan = make_plan(work, registry)
    clock = StageClock(report_progress)
    Path(work.output_folder).mkdir(parents=True, exist_ok=True)
    with (
        open_workspace(Path(work.scratch_folder), max_bytes=work.limits.max_scratch_bytes) as workspace,
        TaskPool(work.limits.threads) as pool,
    ):
        run = _Run(plan, workspace, pool, clock)
        found = run.probe_source()
        if report_probed:
            report_probed(found.to_json())
        track, tags = run.decode_source(found)
        encoded = run.separate_and_encode(track)
        # Free the networks before pictures are drawn: the peak memory is then the larger of the two, not the sum.
        plan.engine.release_memory()
        give_memory_back()
        labelled = run.illustrate_and_label(track, encoded, tags)
        findings = run.collect_findings(found, track, encoded, labelled)
        outcome = write_report(findings, labelled.stem_files, [*labelled.pictures, *labelled.beats])
    if len(sys.modules) > n_modules:
        # The first job of an engine in this process has imported the engine's packages and compiled its loops.
        freeze_loaded_objects()
    return outcome


class _Run:
    """The stages of one run, and what all of them use."""

    def __init__(self, plan: RunPlan, workspace: Workspace, pool: TaskPool, clock: StageClock) -> None:
        self._plan = plan
        self._work = plan.work
        self._workspace = workspace
        self._pool = pool
        self._clock = clock

    def probe_source(self) -> Probe:
        """Return what the file claims to be. Refuses what is not audio, or is too long for the engine."""
        with self._clock.stage("probe"):
            found = probe_file(
                Path(self._work.input_path),
                workspace=self._workspace,
                ffmpeg_path=self._work.ffmpeg_path,
                max_seconds=self._work.limits.max_audio_seconds,
                audio_stream=self._work.audio_stream,
            )
            self._plan.refuse_too_long(found)
        return found

    def decode_source(self, found: Probe) -> tuple[Track, Tags | None]:
        """Decode the file. At the same time, load the engine, draw the axes of the pictures and read the tags."""
        with self._clock.stage("decode"):
            # The decoder is a process of its own with one thread.
            return self._pool.run_pair(partial(self._decode, found), partial(self._prepare, found))

    def _decode(self, found: Probe) -> Track:
        excerpt, engine = self._plan.excerpt, self._plan.engine
        excerpt.check_starts_before(found.end_seconds)
        # The level is that of the whole song, so the whole song is decoded.
        uses_level = isinstance(engine, UsesLevel) and engine.uses_level
        span = (0.0, None) if uses_level else excerpt.span_seconds(context_seconds=engine.description.context_seconds)
        audio = decode_file(
            Path(self._work.input_path),
            found,
            workspace=self._workspace,
            ffmpeg_path=self._work.ffmpeg_path,
            max_seconds=self._work.limits.max_audio_seconds,
            span_seconds=span,
            progress=self._clock.report_fraction,
        )
        engine.check_track(sample_rate_hz=audio.sample_rate_hz, channels=audio.channels, n_samples=audio.n_samples)
        return cut_excerpt(audio, excerpt)

    def _prepare(self, found: Probe) -> Tags | None:
        """Do what needs no samples; return the tags of the source."""
        if isinstance(self._plan.engine, Preparable):
            self._plan.engine.prepare()
        prepare_frame(found, self._plan.wanted.values())
        return read_tags(self._work, found, self._workspace)

    def separate_and_encode(self, track: Track) -> EncodedStems:
        """Separate the track, then encode stems and mixes with one gain that keeps all of them below full scale.

        That gain is known only after the last block, so the stems are buffered on the scratch disk. Writing and reading
        them takes 0.1 s for a song. Encoding at once, and again after a clip, would cost a second pass for every loud
        master. If the stems do not fit into the job's share of the disk, not even in 16 bits, the song is separated
        twice instead. A 32-bit WAV needs no gain, but goes the same way.
        """
        audio = track.audio
        layout = change_layout(self._work.format, source_layout(audio.channel_mask, audio.channels))
        encoding = resolve(
            self._work.format,
            self._work.format_options,
            sample_rate_hz=audio.sample_rate_hz,
            channels=layout.channels,
        )
        pool = pool_between_blocks(self._plan.engine, self._pool)
        music = self._music_meter(track)
        with self._open_stem_buffer(track) as buffer:
            with self._clock.stage("separate"):
                meters = separate_and_measure(
                    self._plan.engine,
                    track,
                    wanted=list(self._plan.wanted),
                    needed=self._plan.needed,
                    mixes=self._plan.mixes,
                    threads=self._work.limits.threads,
                    pool=pool,
                    progress=self._clock.report_fraction,
                    consume=buffer.append_block if buffer else None,
                    music=music,
                )
            gain = common_gain(encoding, meters.peak)
            with self._clock.stage("encode"):
                if buffer:
                    paths = self._encode(track, encoding, layout, buffer.read_blocks(), gain=gain, pool=self._pool)
                else:
                    paths = self._encode(track, encoding, layout, self._separate_again(track), gain=gain, pool=pool)
        return EncodedStems(paths, encoding, layout, meters, music, gain, exact=buffer is None or buffer.exact)

    def _music_meter(self, track: Track) -> MusicMeter | None:
        if not self._work.analyse_music:
            return None
        audio = track.audio
        return MusicMeter(
            self._plan.engine.stems,
            sample_rate_hz=audio.sample_rate_hz,
            channels=audio.channels,
            n_samples=track.n_samples,
        )

    def _open_stem_buffer(self, track: Track) -> AbstractContextManager[StemBuffer | None]:
        """Return a buffer for the stems, or None if they do not fit into the job's share of the scratch disk."""
        # What an engine's blocks add to the length of their last run of samples is less than a hundredth.
        free_bytes = int(0.99 * self._workspace.free_bytes())
        sample_format = choose_format(len(self._plan.needed), track.audio.channels, track.n_samples, free_bytes)
        if sample_format is None:
            return nullcontext()
        return StemBuffer(self._workspace.path(STEM_BUFFER_NAME), sample_format)

    def _separate_again(self, track: Track) -> Iterator[FloatArray]:
        return wanted_blocks(self._plan.engine, track, wanted=self._plan.needed, threads=self._work.limits.threads)

    def _encode(
        self,
        track: Track,
        encoding: Encoding,
        layout: LayoutChange,
        blocks: Iterator[StemBlock],
        *,
        gain: float,
        pool: TaskPool,
    ) -> Mapping[str, Path]:
        n_written = 0
        folder = Path(self._work.output_folder)
        if encoding.format.holds_stems:
            folder /= TRACKS_FOLDER
            folder.mkdir()
        with StemFiles(
            folder,
            self._plan.output_names,
            encoding,
            source_rate_hz=track.audio.sample_rate_hz,
            layout=layout,
            n_samples=track.n_samples,
            pool=pool,
            ffmpeg_path=self._work.ffmpeg_path,
        ) as files:
            for block in blocks:
                files.write_block(self._with_mixes(track, n_written, block), gain)
                n_written += block.shape[2]
                self._clock.report_fraction(n_written / track.n_samples)
        if encoding.format.holds_stems:
            return join_files(files.paths, ffmpeg_path=self._work.ffmpeg_path)
        return files.paths

    def _with_mixes(self, track: Track, n_before: int, block: StemBlock) -> StemBlock:
        """Return a block of the needed stems as a block of all outputs. `n_before` samples of the track precede it."""
        if not self._plan.mixes:
            return block
        start = track.start + n_before
        song = track.audio.read_samples(start, start + block.shape[2])
        wanted = list(self._plan.wanted)
        return MixedBlock(song, block, indexes=self._plan.needed, wanted=wanted, mixes=self._plan.mixes)

    def illustrate_and_label(self, track: Track, encoded: EncodedStems, tags: Tags | None) -> LabelledStems:
        """Draw the pictures. At the same time, find tempo, beats and key, and write these and the tags."""
        stems = {name: encoded.meters.stems[index] for index, name in self._plan.wanted.items()}
        folder = Path(self._work.output_folder)
        with self._clock.stage("illustrate"):
            pictures, labelled = self._pool.run_pair(
                partial(draw_pictures, encoded.meters.mixture, stems, encoded.meters.mixes, track, folder),
                partial(label_files, self._work, track, encoded, tags, folder),
            )
        return replace(labelled, pictures=pictures)

    def collect_findings(
        self, found: Probe, track: Track, encoded: EncodedStems, labelled: LabelledStems
    ) -> RunFindings:
        """Return everything that the report needs."""
        meters, wanted = encoded.meters, self._plan.wanted
        return RunFindings(
            work=self._work,
            engine=self._plan.engine,
            probe=found,
            track=track,
            encoding=encoded.encoding,
            layout=encoded.layout,
            mixture=meters.mixture.levels(),
            stems={name: meters.stems[index].levels(encoded.gain) for index, name in wanted.items()},
            mixes={name: meter.levels(encoded.gain) for name, meter in meters.mixes.items()},
            residual_db=meters.residual.relative_db(),
            gain=encoded.gain,
            exact=encoded.exact,
            music=labelled.music,
            notes=labelled.notes,
            seconds=self._clock.seconds,
        )
