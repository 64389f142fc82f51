"""The same content, once: a job whose answer an earlier job of its owner holds gets copies of that job's outputs.

Owns what counts as the same. Copies lie under the new job's own fence, so that either job can be deleted; they are made
by the storage itself, and pass through no worker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import structlog

from shared.errors import SourceMissingError, StorageUnavailableError
from shared.job import Job, Output
from shared.job_store import Claim, JobStore
from shared.object_storage import MAX_COPY_BYTES, ObjectStorage, output_key

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class EarlierResults:
    """Looks up and copies; `engines` are the descriptions of this worker's engines."""

    store: JobStore
    storage: ObjectStorage
    engines: Sequence[Mapping[str, Any]]

    def content_of(self, job: Job) -> str | None:
        """Return the name of what the job asks for, by which another may ask for the same.

        None where that cannot be told: of uploads that nobody has hashed.
        """
        request = job.request
        engine = next((e for e in self.engines if e["name"] == request.engine), None)
        if engine is None or not request.source.sha256:
            return None
        asked = {
            "owner": request.owner,
            "sha256": request.source.sha256,
            # It names the stems where the audio's own tags do not.
            "filename": request.source.filename,
            "engine": [request.engine, engine["version"]],
            "preset": request.preset or engine["default_preset"],
            "parameters": request.parameters,
            "stems": sorted(request.stems or engine["stems"]),
            "format": [request.format, request.format_options],
            "excerpt": [request.excerpt_start_seconds, request.excerpt_duration_seconds],
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def find(self, job: Job) -> Job | None:
        """Return an earlier job that holds the answer to this one, if there is one. Raises StoreUnavailableError."""
        content = None if job.request.no_cache else self.content_of(job)
        earlier = self.store.find_content(content) if content else None
        if earlier is None or any(o.size_bytes > MAX_COPY_BYTES for o in earlier.outputs):
            return None
        return earlier

    def copy(self, earlier: Job, claim: Claim, check: Callable[[], None]) -> list[Output] | None:
        """Copy the outputs under the claim's fence; None where they are gone, or the storage cannot copy them now.

        `check` is called before each and may raise to give up.
        """
        copies = []
        try:
            for output in earlier.outputs:
                check()
                key = output_key(claim.job.id, claim.fence, PurePosixPath(output.key).name)
                self.storage.copy(output.key, key, size_bytes=output.size_bytes)
                copies.append(replace(output, key=key))
        except (SourceMissingError, StorageUnavailableError) as error:
            log.info("separated anew: the earlier outputs cannot be copied", earlier=earlier.id, error=error.message)
            return None
        return copies
