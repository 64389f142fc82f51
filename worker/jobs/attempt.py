"""One run of a claimed job: fetch the mixture, separate it in a child, upload the outputs. Or fetch and mix stems.

A run stops with an error when its claim is lost, the worker stops, or it exceeds its time or memory. It does not write
how it ended: attempt_end.py does.
"""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from shared.errors import (
    OutOfMemoryError,
    ResourceError,
    SeparationFailedError,
    SeparationTimeoutError,
    SourceMissingError,
)
from shared.jobs.claims import Claim, Course
from shared.jobs.model import HOLDS, Output
from shared.settings import Settings, split_names
from shared.storage.object_keys import output_key
from shared.storage.object_storage import ObjectStorage
from shared.telemetry import tracing
from worker.child.pool import ChildPool
from worker.child.process import ChildGoneError, ChildProcess
from worker.jobs.course import FETCHED, SEPARATED, course_of
from worker.jobs.heartbeat import Heartbeat
from worker.jobs.limits import MemoryLimit, refuse_if_too_slow
from worker.jobs.oom_kills import oom_kills
from worker.jobs.stage_spans import StageSpans
from worker.run_messages import Limits, Outcome, ProducedFile, Work

LISTEN_SECONDS = 0.1
"""How long a run waits for an event of its child before it checks the time, the memory and the claim again."""

UPLOADS_AT_ONCE = 4
"""How many outputs of a job are uploaded at the same time. Most are small, so waiting for the storage's answers takes
most of the time. Each upload holds one part of its file in memory: up to 24 MB."""


class AttemptFailedError(Exception):
    """The child reported an error; the code and the message are the pipeline's."""

    def __init__(self, code: str, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.code, self.message, self.retryable = code, message, retryable


class ClaimLostError(Exception):
    """The job was canceled, or another worker holds it: nothing more may be written."""


class WorkerStoppingError(Exception):
    """The worker was asked to stop: the job is handed back to its queue."""


class BetterElsewhereError(Exception):
    """Another worker has a free slot for the job and this one has none: the job is handed back to its queue."""


class Attempt:
    """One run of one job; `folder` is its scratch folder, which the caller removes.

    `real_time_factor` is how many seconds of audio its engine separates in one with the threads of limits.py.
    `busy_seconds` is how long it held a child; `input_sha256` is the hash of the mixture, once it is fetched;
    `cache_keys` are the keys of its result in the result cache; `has_stored` tells whether storage may hold outputs of
    this run.
    """

    def __init__(
        self,
        claim: Claim,
        settings: Settings,
        *,
        folder: Path,
        heartbeat: Heartbeat,
        stopping: Event,
        real_time_factor: float | None = None,
    ) -> None:
        self.claim = claim
        self.heartbeat = heartbeat
        self._settings = settings
        self._folder = folder
        self._output_folder = folder / "out"
        self._source_path = folder / "source"
        self._stopping = stopping
        self._real_time_factor = real_time_factor
        self._deadline = float("inf")
        self.busy_seconds = 0.0
        self._begun_at = 0.0
        self._stored: dict[str, Output] = {}
        self.has_stored = False
        self.input_sha256: str | None = None
        self.cache_keys: Sequence[str] = ()

    def check_may_continue(self) -> None:
        """Raise if the run must end now: the claim is lost, the worker stops, or the time is used up."""
        if self.heartbeat.lost.is_set():
            raise ClaimLostError
        if self._stopping.is_set():
            raise WorkerStoppingError
        if time.monotonic() > self._deadline:
            raise SeparationTimeoutError("The separation took longer than the time limit for a track of this length.")

    def fetch(self, storage: ObjectStorage) -> str:
        """Download the mixture as it was when the job was submitted; return its SHA-256. Raises SourceMissingError."""
        source = self.claim.job.request.source
        self._output_folder.mkdir(parents=True)
        on_bytes = partial(self._report_fetched, total=source.size_bytes)
        digest = hashlib.sha256()
        storage.fetch(
            *(source.key, self._source_path),
            bucket=source.bucket,
            etag=source.etag,
            on_bytes=on_bytes,
            digest=digest,
        )
        self.input_sha256 = digest.hexdigest()
        _check_content(source.filename, source.sha256, self.input_sha256)
        return self.input_sha256

    def fetch_outputs(self, storage: ObjectStorage) -> None:
        """Download the outputs of another job that this one mixes, as they were when that job ended.

        Raises SourceMissingError.
        """
        outputs = self.claim.job.request.source.outputs
        self._output_folder.mkdir(parents=True)
        before, total = 0, sum(output.size_bytes for output in outputs)
        for number, output in enumerate(outputs):
            on_bytes = partial(self._report_fetched, before=before, total=total)
            digest = hashlib.sha256()
            storage.fetch(output.key, self._stem_path(number), etag=output.etag, on_bytes=on_bytes, digest=digest)
            _check_content(output.filename, output.sha256, digest.hexdigest())
            before += output.size_bytes

    def _stem_path(self, number: int) -> Path:
        # The name is ours, whatever the output is called.
        return self._folder / f"stem-{number}"

    def _report_fetched(self, done: int, *, total: int, before: int = 0) -> None:
        self.check_may_continue()
        self.heartbeat.report("fetch", FETCHED * (before + done) / max(1, total))

    def separate(self, children: ChildPool) -> Outcome:
        """Separate the mixture in a child, which is killed if the run must end early."""
        priority = self.claim.job.request.priority
        with ExitStack() as held:
            with tracing.span("wait for slot"):
                child = held.enter_context(children.lend(priority, check=self._check_while_waiting))
            self._begun_at = begun = time.monotonic()
            try:
                child.send_work(self._work())
                outcome = self._wait_for_outcome(child)
            except AttemptFailedError:
                # The child reported the error itself, so it is in order and can be used again.
                child.jobs_done += 1
                raise
            except BaseException:
                child.end()
                raise
            child.jobs_done += 1
            self.busy_seconds = time.monotonic() - begun
        return outcome

    def _check_while_waiting(self) -> None:
        self.check_may_continue()
        if self.heartbeat.better_elsewhere:
            raise BetterElsewhereError

    def upload(self, storage: ObjectStorage, outcome: Outcome) -> list[Output]:
        """Store the child's outputs under this claim's fence and check that they arrived unchanged.

        After a StorageUnavailableError it can be called again, and stores what is missing.
        """
        self.has_stored = True
        total = sum(f.size_bytes for f in outcome.outputs) or 1
        with ThreadPoolExecutor(UPLOADS_AT_ONCE, thread_name_prefix="upload") as pool:
            missing = [file for file in outcome.outputs if file.filename not in self._stored]
            under_way = [pool.submit(self._store, storage, file) for file in missing]
            try:
                for stored in under_way:
                    done = sum(output.size_bytes for output in list(self._stored.values()))
                    self.heartbeat.report("upload", SEPARATED + (1 - SEPARATED) * done / total)
                    stored.result()
            except BaseException:
                # Start no more uploads and wait for those that run: whoever deletes the outputs must find all of them.
                pool.shutdown(cancel_futures=True)
                raise
        return [self._stored[file.filename] for file in outcome.outputs]

    def course(self, outcome: Outcome) -> Course:
        """Return the course of the run, at its end (see `course_of`)."""
        seconds: Mapping[str, float] = outcome.report.get("seconds", {})
        return course_of(seconds, self.busy_seconds, time.monotonic() - self._begun_at)

    def _wait_for_outcome(self, child: ChildProcess) -> Outcome:
        self._deadline = time.monotonic() + self._settings.job_seconds_base
        memory = MemoryLimit(child, self._settings.max_child_bytes)
        killed_before = oom_kills()
        with StageSpans() as spans:
            while True:
                try:
                    event = child.read_event(LISTEN_SECONDS)
                except ChildGoneError as gone:
                    raise _error_of(gone, was_oom=oom_kills() > killed_before) from gone
                self.check_may_continue()
                memory.check_limit()
                if event and (outcome := self._handle_event(event, spans)):
                    self._deadline = float("inf")
                    return outcome

    def _handle_event(self, event: Mapping[str, Any], spans: StageSpans) -> Outcome | None:
        if event["event"] == "progress":
            spans.enter_stage(event["stage"])
            self.heartbeat.report(event["stage"], FETCHED + (SEPARATED - FETCHED) * event["progress"])
        elif event["event"] == "probed":
            source = event["source"]
            self.heartbeat.report("decode", FETCHED, source)
            known = source.get("walked_seconds") or source.get("declared_seconds")
            seconds = min(known or self._settings.max_audio_seconds, self._settings.max_audio_seconds)
            self._deadline += self._settings.job_seconds_per_audio_second * seconds
            if known:
                request = self.claim.job.request
                refuse_if_too_slow(request, self._settings, seconds, real_time_factor=self._real_time_factor)
        elif event["event"] == "error":
            raise AttemptFailedError(event["code"], event["message"], retryable=event["retryable"])
        elif event["event"] == "done":
            return Outcome.from_json(event["outcome"])
        return None

    def _store(self, storage: ObjectStorage, file: ProducedFile) -> None:
        key = output_key(self.claim.job.id, self.claim.fence, file.filename)
        stored = storage.put_file(self._output_folder / file.filename, key, file.content_type, self.check_may_continue)
        if (stored.size_bytes, stored.sha256) != (file.size_bytes, file.sha256):
            raise SeparationFailedError("An output changed on the scratch disk before it was stored.")
        self._stored[file.filename] = Output(
            name=file.name,
            kind="waveform" if file.kind == "beats" else file.kind,
            key=key,
            filename=file.filename,
            content_type=file.content_type,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            details={HOLDS: "beats"} if file.kind == "beats" else file.details,
        ).stored(key, stored.etag)

    def _work(self) -> Work:
        request, settings = self.claim.job.request, self._settings
        return Work(
            input_path=str(self._source_path),
            output_folder=str(self._output_folder),
            scratch_folder=str(self._folder / "scratch"),
            source_filename=request.source.filename,
            source_job_id=request.source.job_id,
            source_output=request.source.output,
            engine=request.engine,
            preset=request.preset,
            parameters=request.parameters,
            stems=request.stems,
            mixes=request.mixes,
            stem_paths={o.name: str(self._stem_path(n)) for n, o in enumerate(request.source.outputs)},
            format=request.format,
            format_options=request.format_options,
            excerpt_start_seconds=request.excerpt_start_seconds,
            excerpt_duration_seconds=request.excerpt_duration_seconds,
            audio_stream=request.audio_stream,
            limits=Limits.from_settings(settings),
            model_folder=str(settings.model_folder.resolve()),
            ffmpeg_path=settings.ffmpeg_path,
            extra_engines=split_names(settings.extra_engines),
            analyse_music=settings.analyse_music,
        )


def _check_content(filename: str, recorded_sha256: str | None, sha256: str) -> None:
    """Raise SourceMissingError if what was fetched is not what was recorded; without a record it cannot be told."""
    if recorded_sha256 and sha256 != recorded_sha256:
        raise SourceMissingError(f"{filename} was replaced in storage after it was recorded.")


def _error_of(gone: ChildGoneError, *, was_oom: bool) -> ResourceError:
    """Return the job's error for a child that ended. `was_oom`: the kernel has killed a process for memory."""
    if was_oom and gone.return_code == -signal.SIGKILL:
        return OutOfMemoryError("The kernel killed the separation because the machine ran out of memory.")
    return SeparationFailedError(f"The separation process ended unexpectedly (exit status {gone.return_code}).")
