"""One separation from file to files, in this process: probe, decode, separate, encode, illustrate.

Owns the order of the stages and what passes between them; each stage is a module of its own. Knows no job, no
queue and no storage: the supervisor's child and `stemqueue-separate` call `run` alike. Audio passes in blocks;
nothing here holds a whole song. What needs nothing of each other runs side by side, on the job's share of the cores.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from shared.formats import Encoding, resolve
from worker.crew import Crew
from worker.decoding import decode
from worker.engine.interface import FloatArray, Preparable
from worker.illustrating import illustrate, prepare_frame
from worker.measuring import Measures
from worker.memory import give_memory_back, keep_what_is_loaded, reset_peak_memory
from worker.planning import Plan, make_plan
from worker.probing import Probe, probe
from worker.registry import Registry, engines_here
from worker.report import Findings, conclude
from worker.separating import crew_between_blocks, select, separate, stem_blocks
from worker.spool import Spool
from worker.stage_clock import StageClock
from worker.stem_files import StemBlock, StemFiles
from worker.tags import Tags, read_tags, write_tags
from worker.track import Track, cut
from worker.work import Outcome, OutputFile, ReportProgress, Work, describe_file
from worker.workspace import Workspace, open_workspace

ReportProbed = Callable[[Mapping[str, Any]], None]

# What the highest peak of all stems becomes where it would clip: just below full scale.
LOUDEST_PEAK = 0.9999

SPOOL_NAME = "stems.f32"


def warm() -> None:
    """Import and initialise what the first run would otherwise wait for."""
    from worker import spectrogram_image  # noqa: PLC0415 - see there

    spectrogram_image.warm()
    engines_here()
    keep_what_is_loaded()


def run(
    work: Work,
    report_progress: ReportProgress,
    *,
    report_probed: ReportProbed | None = None,
    registry: Registry | None = None,
) -> Outcome:
    """Do the work and return what came of it; `report_probed` hears early what the source claims to be.

    Raises StemqueueError or EngineError, with the code that the client sees.
    """
    reset_peak_memory()
    n_modules = len(sys.modules)
    plan = make_plan(work, registry)
    clock = StageClock(report_progress)
    Path(work.output_folder).mkdir(parents=True, exist_ok=True)
    with (
        open_workspace(Path(work.scratch_folder), max_bytes=work.limits.max_scratch_bytes) as workspace,
        Crew(work.limits.threads) as crew,
    ):
        with clock.stage("probe"):
            found = _probe(plan, workspace)
            if report_probed:
                report_probed(found.to_json())
        with clock.stage("decode"):
            # The decoder has one thread.
            track, tags = crew.pair(
                lambda: _decode(plan, found, workspace, clock), lambda: _prepare(plan, found, workspace)
            )
        made = _separate_and_encode(plan, track, workspace, crew, clock)
        # A network's memory goes back before pictures are drawn: a child's peak is the larger of the two, not the sum.
        plan.engine.close()
        give_memory_back()
        with clock.stage("illustrate"):
            stems = {name: made.measures.stems[index] for index, name in plan.wanted.items()}
            draw = partial(illustrate, made.measures.mixture, stems, track, Path(work.output_folder))
            pictures, (stem_files, tag_notes) = crew.pair(draw, lambda: _label(work, made, tags))
        findings = Findings(
            work=work,
            engine=plan.engine,
            probe=found,
            track=track,
            encoding=made.encoding,
            mixture=made.measures.mixture.levels(),
            stems={name: signal.levels(made.gain) for name, signal in stems.items()},
            residual_db=made.measures.residual.relative_db(),
            gain=made.gain,
            notes=tag_notes,
            seconds=clock.seconds,
        )
        outcome = conclude(findings, stem_files, pictures)
    if len(sys.modules) > n_modules:
        # The first job of an engine in this process has imported what the engine needs, and compiled its loops.
        keep_what_is_loaded()
    return outcome


def _probe(plan: Plan, workspace: Workspace) -> Probe:
    work = plan.work
    found = probe(
        Path(work.input_path),
        workspace=workspace,
        ffmpeg_path=work.ffmpeg_path,
        max_seconds=work.limits.max_audio_seconds,
    )
    plan.refuse_what_the_engine_will(found)
    return found


def _prepare(plan: Plan, found: Probe, workspace: Workspace) -> Tags | None:
    """Do what needs no samples, beside the decoder where the job has a thread for it; return the source's tags."""
    if isinstance(plan.engine, Preparable):
        plan.engine.prepare()
    prepare_frame(found, plan.wanted.values())
    return read_tags(plan.work, found, workspace)


def _decode(plan: Plan, found: Probe, workspace: Workspace, clock: StageClock) -> Track:
    plan.excerpt.check_begins_before(found.walked_seconds)
    span = plan.excerpt.span_seconds(context_seconds=plan.engine.description.context_seconds)
    audio = decode(
        Path(plan.work.input_path),
        found,
        workspace=workspace,
        ffmpeg_path=plan.work.ffmpeg_path,
        max_seconds=plan.work.limits.max_audio_seconds,
        span_seconds=None if plan.excerpt.whole else span,
        progress=clock.progress,
    )
    plan.engine.check(sample_rate_hz=audio.sample_rate_hz, channels=audio.channels, n_samples=audio.n_samples)
    return cut(audio, plan.excerpt)


@dataclass(frozen=True)
class Made:
    """The stems' files, and what was measured on their way."""

    paths: Mapping[str, Path]
    encoding: Encoding
    measures: Measures
    gain: float


def _separate_and_encode(plan: Plan, track: Track, workspace: Workspace, crew: Crew, clock: StageClock) -> Made:
    """Separate, learn the peaks, then encode with one gain that keeps every stem below full scale.

    The stems wait on the scratch disk as floats: one write and one read of 0.1 s a song, where encoding first
    and again after a clip would cost a whole second pass on every loud master. A song whose stems do not fit
    the disk's share (three hours of stereo do) is separated twice instead. A 32-bit WAV needs no gain, but
    takes the same way.
    """
    work, audio = plan.work, track.audio
    encoding = resolve(work.format, work.format_options, sample_rate_hz=audio.sample_rate_hz, channels=audio.channels)
    beside = crew_between_blocks(plan.engine, crew)
    with _spool(plan, track, workspace) as spool:
        with clock.stage("separate"):
            measures = separate(
                plan.engine,
                track,
                wanted=list(plan.wanted),
                threads=work.limits.threads,
                crew=beside,
                progress=clock.progress,
                consume=spool.append if spool else lambda _: None,
            )
        gain = 1.0 if encoding.holds_any_level or measures.peak <= 1 else LOUDEST_PEAK / measures.peak
        with clock.stage("encode"):
            if spool:
                paths = _encode(plan, track, encoding, spool.blocks(), gain=gain, crew=crew, clock=clock)
            else:
                again = _separated_again(plan, track)
                paths = _encode(plan, track, encoding, again, gain=gain, crew=beside, clock=clock)
    return Made(paths, encoding, measures, gain)


def _spool(plan: Plan, track: Track, workspace: Workspace) -> AbstractContextManager[Spool | None]:
    """Return a place for the stems, or None if the disk's share does not hold them."""
    n_bytes = 4 * len(plan.wanted) * track.audio.channels * track.n_samples
    return Spool(workspace.path(SPOOL_NAME)) if n_bytes <= workspace.free_bytes() else nullcontext()


def _separated_again(plan: Plan, track: Track) -> Iterator[FloatArray]:
    threads = plan.work.limits.threads
    for _, stems in stem_blocks(plan.engine, track, threads=threads, progress=lambda _: None):
        yield select(stems, list(plan.wanted))


def _encode(
    plan: Plan,
    track: Track,
    encoding: Encoding,
    blocks: Iterator[StemBlock],
    *,
    gain: float,
    crew: Crew,
    clock: StageClock,
) -> Mapping[str, Path]:
    n_written = 0
    with StemFiles(
        Path(plan.work.output_folder),
        list(plan.wanted.values()),
        encoding,
        source_rate_hz=track.audio.sample_rate_hz,
        source_channels=track.audio.channels,
        n_samples=track.n_samples,
        crew=crew,
        ffmpeg_path=plan.work.ffmpeg_path,
    ) as files:
        for block in blocks:
            files.write(block, gain)
            n_written += block.shape[2]
            clock.progress(n_written / track.n_samples)
    return files.paths


def _label(work: Work, made: Made, tags: Tags | None) -> tuple[Sequence[OutputFile], Sequence[str]]:
    """Write the tags into the stems' files, which are then finished; return these, and notes on what failed."""
    notes = write_tags(work, tags, made.paths)
    content_type = made.encoding.format.content_type
    files = [
        describe_file(path, name=name, kind="stem", content_type=content_type) for name, path in made.paths.items()
    ]
    return files, notes
