"""Writes a job's record as a JobResource.

Links are fixed paths of this API, never signed URLs, so that a job's ETag only changes when the job does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from api.contract.job_responses import JobResource
from api.contract.resource import job_path, utc_datetime
from shared.audio.mixes import mix_json
from shared.fifo_cache import FifoCache
from shared.jobs.model import AUDIO_KINDS, HOLDS, MUSIC, STORAGE_ETAG, TERMINAL, Job, JobState, Output

CACHED_JOBS = 512
"""How many jobs' JSON a process caches, 2 to 10 kB each. Raise it if more jobs are polled at once."""

_json_cache = FifoCache[tuple[object, ...], bytes](CACHED_JOBS)

ONE_OF_A_KIND = frozenset({"beats", "report"})
"""Kinds of outputs of which a job has at most one, so their addresses need no name."""

COLLECTIONS = {"stem": "stems", "mix": "mixes", "picture": "pictures", "waveform": "waveforms"}
"""The part of an output's path that stands for its kind."""

INTERNAL_DETAILS = frozenset({HOLDS, MUSIC, STORAGE_ETAG})

NOT_MEASURED = {"duration_seconds": None, "peak_db": None, "loudness_lufs": None}


def job_resource(job: Job, root: str) -> JobResource:
    """Return a job as a JobResource. Links begin with `root`, the path below which the API is published."""
    return JobResource.model_validate(job_document(job, root))


def job_json(job: Job, root: str) -> bytes:
    """Return a JobResource as JSON.

    Most polls find an unchanged job, so the part that comes from its record is serialised once and cached. For speed
    it is not validated against JobResource here; a test does that.
    """
    key = (root, job.id, job.state.value, job.version, job.expires_at)
    recorded = _json_cache.get(key)
    if recorded is None:
        recorded = to_json(_record_members(job, root))
        _json_cache.put(key, recorded)
    return recorded[:-1] + b"," + to_json(_queue_members(job))[1:]


def job_document(job: Job, root: str) -> dict[str, Any]:
    """Return the members of a JobResource."""
    return {**_record_members(job, root), **_queue_members(job)}


def _queue_members(job: Job) -> dict[str, Any]:
    """Return the members that change although the job's record does not."""
    return {
        "queue_position": job.queue_position,
        "eta_seconds": None if job.eta_seconds is None else round(job.eta_seconds, 1),
        "waiting_for": job.waiting_for,
        "waiting_because": job.waiting_because,
    }


def _record_members(job: Job, root: str) -> dict[str, Any]:
    request, base = job.request, job_path(job.id, root)
    roles = ("stem", "mix", "picture", "waveform", "beats", "report")
    outputs: dict[str, list[dict[str, Any]]] = {role: [] for role in roles}
    for output in job.outputs:
        # A newer worker may make outputs that this API does not know.
        if output.role in outputs:
            outputs[output.role].append(_output(job, output, base))
    return {
        "id": job.id,
        "state": job.state.value,
        "stage": job.stage,
        "progress": 1.0 if job.state is JobState.SUCCEEDED else job.progress,
        "attempt": job.attempt,
        "engine": request.engine,
        "preset": request.preset,
        "parameters": request.parameters,
        "stems_wanted": request.stems,
        "mixes_wanted": [mix_json(mix) for mix in request.mixes],
        "format": request.format,
        "format_options": request.format_options,
        "excerpt": _excerpt(job),
        "priority": request.priority,
        "source": _source(job, base),
        "stems": outputs["stem"],
        "mixes": outputs["mix"],
        "pictures": outputs["picture"],
        "waveforms": outputs["waveform"],
        "music": job.music,
        "beats": outputs["beats"][0] if outputs["beats"] else None,
        "report": outputs["report"][0] if outputs["report"] else None,
        "error": _error(job.error) if job.error else None,
        "attempt_errors": [_error(e) for e in job.attempt_errors],
        "times": {
            "created_at": utc_datetime(job.created_at),
            "started_at": utc_datetime(job.started_at),
            "finished_at": utc_datetime(job.finished_at),
        },
        "expires_at": utc_datetime(job.expires_at),
        "batch_id": job.batch_id,
        "cached": job.cached,
        "metadata": request.metadata,
        "then": [{"job_id": job.job_id, "output": job.output} for job in request.then],
        "links": _links(job, base),
    }


def etag_of(job: Job) -> str:
    """Return the ETag of a job. It is weak, since `eta_seconds` changes without a new tag.

    It contains the state, because a job that is read back from storage has the version it had when it was stored.
    """
    waits = f"-{job.waiting_for}" if job.waiting_for else ""
    return f"{job.id[:8]}-{job.state[0]}{job.version}-{job.queue_position or 0}{waits}"


def _links(job: Job, base: str) -> dict[str, str]:
    links = {"self": base, "source": f"{base}/source"}
    if job.outputs:
        links["archive"] = f"{base}/archive"
    if job.state not in TERMINAL:
        links["events"] = f"{base}/events"
        links["cancel"] = f"{base}/cancel"
    if job.state in {JobState.FAILED, JobState.CANCELED}:
        links["retry"] = f"{base}/retry"
    if any(o.kind == "report" for o in job.outputs):
        links["report"] = f"{base}/report"
    return links


def _excerpt(job: Job) -> dict[str, float | None] | None:
    start, duration = job.request.excerpt_start_seconds, job.request.excerpt_duration_seconds
    if start is None and duration is None:
        return None
    return {"start_seconds": start or 0.0, "duration_seconds": duration}


def _source(job: Job, base: str) -> dict[str, Any]:
    source = job.request.source
    return {
        "duration_seconds": None,
        "sample_rate_hz": None,
        "channels": None,
        **(job.probed or {}),
        "filename": source.filename,
        "size_bytes": source.size_bytes,
        "sha256": source.sha256 or (job.probed or {}).get("sha256"),
        "upload_id": source.upload_id,
        "url": f"{base}/source",
        "job_id": source.job_id,
        "output": source.output,
    }


def _output(job: Job, output: Output, base: str) -> dict[str, Any]:
    role = output.role
    members = {
        **{name: value for name, value in output.details.items() if name not in INTERNAL_DETAILS},
        "kind": role,
        "name": output.name,
        "url": f"{base}/{role}" if role in ONE_OF_A_KIND else f"{base}/{COLLECTIONS[role]}/{output.name}",
        "filename": output.filename,
        "content_type": output.content_type,
        "size_bytes": output.size_bytes,
        "sha256": output.sha256,
    }
    if output.kind in AUDIO_KINDS:
        members = {**NOT_MEASURED, **members, "format": job.request.format}
    return members


def _error(error: Mapping[str, Any]) -> dict[str, Any]:
    return {"attempt": None, **error}
