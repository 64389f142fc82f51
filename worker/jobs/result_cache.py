"""The result cache: a job that asks for what an earlier job of its owner made gets copies of that job's outputs.

A cache key is a digest of everything that determines a result. Redis knows which job made, or is making, the result
with a key. The scripts that end a job record its keys there, and release the jobs that waited for it. Copies are stored
under the new job's own fence, so either job can be deleted. The storage makes them; no worker reads them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import structlog

from shared.audio.formats import holds_stems
from shared.audio.mixes import mix_json
from shared.batches.item_status import BatchItems
from shared.errors import JobNotFoundError, SourceMissingError, StorageUnavailableError
from shared.jobs.claims import Claim
from shared.jobs.model import Job, JobState, Output
from shared.jobs.request import JobRequest
from shared.jobs.store import JobStore
from shared.redis_client.scripts import Scripts
from shared.storage.object_keys import output_key
from shared.storage.object_storage import MAX_COPY_BYTES, ObjectStorage

log = structlog.get_logger(__name__)

KEY_CHARACTERS = 32
"""Length of a cache key in hexadecimal digits: 128 bits. Kept short, since Redis holds one for each kept job."""

MUSIC_VERSION = 4
"""Increase it when tempo, beats or key of the same song come out differently, so that they are found again."""


@dataclass(frozen=True)
class Reservation:
    """What the job of a claim has to do.

    `answer` is `go` (make it), `known` (job `known_job_id` has made it), `waits` (another job is making it; the claim
    has been returned to the queue until that job ends) or `lost` (the claim is no longer held).
    """

    answer: str
    known_job_id: str | None


@dataclass(frozen=True)
class ResultCache:
    """Finds and copies earlier results.

    `engines` returns the descriptions of this worker's engines. `analyse_music` is whether results have tempo and key.
    """

    items: BatchItems
    store: JobStore
    scripts: Scripts
    storage: ObjectStorage
    engines: Callable[[], Sequence[Mapping[str, Any]]]
    analyse_music: bool = True

    def cache_keys_of(self, job: Job, sha256: str | None = None) -> tuple[str, ...]:
        """Return the cache keys of the job's result, as this worker's engine would make it.

        Only the first is looked up; a success is recorded under all. Empty if they cannot be computed: if this worker
        lacks the engine, or if the mixture has not been hashed and `sha256` is not given.
        """
        if job.request.source.outputs:
            # No engine is asked.
            return (_digest(_asked_of_outputs(job.request)),)
        engine = next((e for e in self.engines() if e["name"] == job.request.engine), None)
        if engine is None:
            return ()
        return self._cache_keys(job, sha256, engine["version"], engine["default_preset"], engine["stems"])

    def cache_keys_of_result(self, job: Job, sha256: str | None, report: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the cache keys under which a result is recorded: those of the engine that made it, by its report.

        A model may have been replaced since this worker described its engines. The child loads the new one.
        """
        if job.request.source.outputs:
            return self.cache_keys_of(job)
        return self._cache_keys(job, sha256, report["engine_version"], report["preset"], report["stems"])

    def _cache_keys(
        self, job: Job, sha256: str | None, version: str, default_preset: str, stems: Iterable[str]
    ) -> tuple[str, ...]:
        """Return the cache keys; `default_preset` and `stems` are what the engine makes if the job names none."""
        request = job.request
        sha256 = request.source.sha256 or sha256
        if not sha256:
            return ()
        asked: dict[str, Any] = {
            "owner": request.owner,
            "sha256": sha256,
            "engine": [request.engine, version],
            "preset": request.preset or default_preset,
            "parameters": request.parameters,
            # The report names no stems of a stem file's job: its only output is a mix of five tracks.
            "stems": [] if holds_stems(request.format) else sorted(stems if request.stems is None else request.stems),
            "format": [request.format, request.format_options],
            "excerpt": [request.excerpt_start_seconds, request.excerpt_duration_seconds],
        }
        if request.audio_stream is not None:
            asked["audio_stream"] = request.audio_stream
        if self.analyse_music:
            asked["music"] = MUSIC_VERSION
        if request.mixes:
            asked["mixes"] = sorted((mix_json(mix) for mix in request.mixes), key=str)
        # The report tells which job's output was separated. Items of a batch ignore that too.
        named: dict[str, Any] = {"filename": request.source.filename}
        if request.source.output:
            named["output_of"] = [request.source.job_id, request.source.output]
        # The file name becomes the stems' title if the audio has no title tag, so it is part of the first key. Items
        # of a batch ignore it: in a catalog the same audio is the same track, whatever its files are called.
        key = _digest(asked)
        return (key,) if job.batch_id else (_digest({**asked, **named}), key)

    def reserve(self, claim: Claim, cache_keys: Sequence[str]) -> Reservation:
        """Reserve the result with these cache keys for the claim. Raises StoreUnavailableError."""
        answer, *job_id = self.scripts.run(
            "attempts/reserve_result", job_id=claim.job.id, fence=claim.fence, digests=cache_keys
        )
        return Reservation(answer, job_id[0] if job_id else None)

    def find_earlier_job(self, job_id: str, job: Job) -> Job | None:
        """Return the job that made what `job` asks for, or None if its outputs are gone or too large to be copied.

        Raises StoreUnavailableError, StorageUnavailableError.
        """
        earlier = self.items.read_earlier_job(job_id) if job_id == job.id else self._read_job(job_id)
        if earlier is None or earlier.state is not JobState.SUCCEEDED:
            return None
        return None if any(o.size_bytes > MAX_COPY_BYTES for o in earlier.outputs) else earlier

    def _read_job(self, job_id: str) -> Job | None:
        try:
            return next(iter(self.store.read_jobs([job_id])), None) or self.items.read_job(job_id)
        except JobNotFoundError:
            return None

    def copy_outputs(self, earlier: Job, claim: Claim, check: Callable[[], None]) -> list[Output] | None:
        """Copy the outputs under the claim's fence; None if they are gone or the storage cannot copy them now.

        `check` is called before each copy and may raise to stop.
        """
        copies = []
        try:
            for output in earlier.outputs:
                check()
                key = output_key(claim.job.id, claim.fence, PurePosixPath(output.key).name)
                etag = self.storage.copy(output.key, key, size_bytes=output.size_bytes, etag=output.etag)
                copies.append(output.stored(key, etag))
        except (SourceMissingError, StorageUnavailableError) as error:
            log.info("earlier outputs cannot be copied", earlier=earlier.id, error=error.message)
            return None
        return copies


def _asked_of_outputs(request: JobRequest) -> dict[str, Any]:
    """Return what determines the mixes of another job's outputs. The file's name becomes their title."""
    return {
        "owner": request.owner,
        "outputs": sorted([output.name, output.sha256] for output in request.source.outputs),
        "filename": request.source.filename,
        "mixes": sorted((mix_json(mix) for mix in request.mixes), key=str),
        "format": [request.format, request.format_options],
    }


def _digest(asked: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:KEY_CHARACTERS]
