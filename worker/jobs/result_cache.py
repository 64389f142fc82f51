"""The same content, once: a job whose answer an earlier job of its owner holds gets copies of that job's outputs.

Owns what counts as the same. Copies lie under the new job's own fence, so that either job can be deleted; they are made
by the storage itself, and pass through no worker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import structlog

from shared.batches.item_status import BatchItems
from shared.errors import JobNotFoundError, SourceMissingError, StorageUnavailableError
from shared.jobs.model import Job, JobState, Output
from shared.jobs.store import Claim, JobStore
from shared.storage.object_storage import MAX_COPY_BYTES, ObjectStorage, output_key
from worker.jobs.content_store import ContentStore

log = structlog.get_logger(__name__)


NAME_CHARACTERS = 32
"""Of a digest that names content: 128 bits, since Redis holds one for each job that is kept."""


@dataclass(frozen=True)
class EarlierResults:
    """Looks up and copies; `engines` are the descriptions of this worker's engines."""

    items: BatchItems
    store: JobStore
    contents: ContentStore
    storage: ObjectStorage
    engines: Sequence[Mapping[str, Any]]

    def contents_of(self, job: Job, sha256: str | None = None) -> tuple[str, ...]:
        """Return the names of what the job makes, by which others may ask for the same; the first is looked for.

        Empty where that cannot be told: of a mixture that nobody has hashed, unless `sha256` says it.
        """
        request = job.request
        engine = next((e for e in self.engines if e["name"] == request.engine), None)
        sha256 = request.source.sha256 or sha256
        if engine is None or not sha256:
            return ()
        asked = {
            "owner": request.owner,
            "sha256": sha256,
            "engine": [request.engine, engine["version"]],
            "preset": request.preset or engine["default_preset"],
            "parameters": request.parameters,
            "stems": sorted(request.stems or engine["stems"]),
            "format": [request.format, request.format_options],
            "excerpt": [request.excerpt_start_seconds, request.excerpt_duration_seconds],
        }
        # A file's name is in the stems' titles where the audio's own tags name none. Of a catalog's tracks the same
        # audio is the same, whatever its files are called.
        name = _digest(asked)
        return (name,) if job.batch_id else (_digest({**asked, "filename": request.source.filename}), name)

    def read(self, job_id: str, job: Job) -> Job | None:
        """Return a job that made what `job` asks for, if it is still there and can be copied. Raises TransientError."""
        earlier = self.items.earlier_job(job_id) if job_id == job.id else self._read(job_id)
        if earlier is None or earlier.state is not JobState.SUCCEEDED:
            return None
        return None if any(o.size_bytes > MAX_COPY_BYTES for o in earlier.outputs) else earlier

    def _read(self, job_id: str) -> Job | None:
        try:
            return next(iter(self.store.read_many([job_id])), None) or self.items.read_job(job_id)
        except JobNotFoundError:
            return None

    def copy(self, earlier: Job, claim: Claim, check: Callable[[], None]) -> list[Output] | None:
        """Copy the outputs under the claim's fence; None where they are gone, or the storage cannot copy them now.

        `check` is called before each and may raise to give up.
        """
        copies = []
        try:
            for output in earlier.outputs:
                check()
                key = output_key(claim.job.id, claim.fence, PurePosixPath(output.key).name)
                etag = self.storage.copy(output.key, key, size_bytes=output.size_bytes, etag=output.etag)
                copies.append(output.stored(key, etag))
        except (SourceMissingError, StorageUnavailableError) as error:
            log.info("separated anew: the earlier outputs cannot be copied", earlier=earlier.id, error=error.message)
            return None
        return copies


def _digest(asked: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:NAME_CHARACTERS]
