"""What a job made, and what it was made from: stems, pictures, waveforms, report, mixture, with ranges.

Streamed from storage by default, so that one address serves everything; where the storage has a public address of its
own, a redirect to a signed link instead. Owns what is answered for outputs that are not there yet, or never will be.
"""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote

from flask import Blueprint, Response, redirect, request

from api.contract.errors import OutputNotFoundError, RangeUnsatisfiableError
from api.contract.job_json import job_json
from api.contract.job_responses import JobResource
from api.contract.openapi import Operation, describes
from api.recorded_objects import Recorded
from api.routes.jobs import retry_after_seconds
from api.routes.ownership import find_job
from api.routes.zip_archive import Entry, zip_chunks
from api.services import services
from shared.jobs.model import TERMINAL, Job, Output

blueprint = Blueprint("outputs", __name__, url_prefix="/v1/jobs/<job_id>")

LINK_SECONDS = 900
"""How long a signed link works; raising it lets slower clients start later, and leaked links live longer."""

ARCHIVED = frozenset({"stem", "picture", "report"})

KINDS = {"stems": "stem", "pictures": "picture", "waveforms": "waveform"}

DOWNLOAD = Operation(
    "Read an output",
    tag="outputs",
    answers={202: JobResource},
    media={200: ("audio/*", "image/png", "application/json"), 206: ("audio/*",)},
    empty=(302, 304),
    problems=(404, 410, 416, 503),
    conditional=True,
)


# What a client uploads is of any kind; the name tells which.
MIXTURE = replace(DOWNLOAD, media=dict.fromkeys((200, 206), ("audio/*", "video/*", "application/octet-stream")))


@blueprint.get("/stems/<name>", defaults={"kind": "stems"})
@blueprint.get("/pictures/<name>", defaults={"kind": "pictures"})
@blueprint.get("/waveforms/<name>", defaults={"kind": "waveforms"})
@describes(DOWNLOAD)
def read_output(job_id: str, kind: str, name: str) -> Response:
    """Send one output; 202 while the job is not done."""
    return _send_output(find_job(job_id), KINDS[kind], name)


@blueprint.get("/report")
@describes(DOWNLOAD)
def read_report(job_id: str) -> Response:
    """Send the report of the separation."""
    return _send_output(find_job(job_id), "report", "report")


@blueprint.get("/source")
@describes(MIXTURE)
def read_source(job_id: str) -> Response:
    """Send the mixture as it was uploaded."""
    source = find_job(job_id).request.source
    return _send(
        Recorded(source.key, source.etag, source.sha256, source.bucket),
        filename=source.filename,
        content_type=_audio_type(source.filename),
        size_bytes=source.size_bytes,
        tag=source.sha256 or (source.etag or source.key).strip('"'),
    )


@blueprint.get("/archive")
@describes(
    Operation(
        "Read all outputs as one ZIP",
        tag="outputs",
        answers={202: JobResource},
        media={200: ("application/zip",)},
        empty=(304,),
        problems=(404, 410, 503),
        conditional=True,
    )
)
def read_archive(job_id: str) -> Response:
    """Send stems, pictures and report in one archive, made while it is sent; 202 while the job is not done."""
    job = find_job(job_id)
    outputs = [o for o in job.outputs if o.kind in ARCHIVED]
    if not outputs or job.finished_at is None:
        return _not_there(job, "archive", "archive")
    response = Response(content_type="application/zip")
    response.set_etag(hashlib.sha256("".join(o.sha256 for o in outputs).encode()).hexdigest())
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Disposition"] = f"attachment; {_filename_parameter(f'{_song(job)} - stems.zip')}"
    if request.if_none_match.contains(response.get_etag()[0] or ""):
        response.status_code = 304
        return response
    recorded = services().recorded
    # Before the answer begins: what is wrong shows as a status, and not as an archive that breaks off.
    for output in outputs:
        recorded.check(_recorded(output))
    if request.method == "HEAD":
        # No length of none: nobody knows it before the archive is made.
        response.response = iter(())
    else:
        services().open_calls.hold()
        entries = [Entry(o.filename, o.size_bytes, partial(recorded.open, _recorded(o))) for o in outputs]
        response.response = zip_chunks(entries, datetime.fromtimestamp(job.finished_at, UTC))
    return response


def _send_output(job: Job, kind: str, name: str) -> Response:
    output = job.output(kind, name)
    if output is None:
        return _not_there(job, kind, name)
    return _send(
        _recorded(output),
        filename=_download_name(job, output),
        content_type=output.content_type,
        size_bytes=output.size_bytes,
        tag=output.sha256,
    )


def _recorded(output: Output) -> Recorded:
    return Recorded(output.key, output.etag, output.sha256)


def _not_there(job: Job, kind: str, name: str) -> Response:
    wanted = job.request.stems
    if job.state in TERMINAL or (kind == "stem" and wanted and name not in wanted):
        raise OutputNotFoundError(f"The job is {job.state} and has no {kind} {name!r}.")
    response = Response(job_json(job), status=202, content_type="application/json")
    response.headers["Retry-After"] = str(retry_after_seconds(job))
    return response


def _send(wanted: Recorded, *, filename: str, content_type: str, size_bytes: int, tag: str) -> Response:
    recorded = services().recorded
    if services().settings.s3_public_endpoint_url:
        # Nobody can look once more when the link is followed: a link to one version only would ask for a bucket with
        # versions.
        recorded.check(wanted)
        link = services().storage.signed_url(
            wanted.key, filename=filename, content_type=content_type, seconds=LINK_SECONDS, bucket=wanted.bucket
        )
        return _as_response(redirect(link, 302))
    response = Response(content_type=content_type)
    response.set_etag(tag)
    response.headers["Accept-Ranges"] = "bytes"
    # What a job made never changes; but it can be deleted, so every use asks first.
    response.headers["Cache-Control"] = "private, no-cache"
    disposition = "inline" if content_type.startswith("image/") else "attachment"
    response.headers["Content-Disposition"] = f"{disposition}; {_filename_parameter(filename)}"
    if request.if_none_match.contains(tag):
        response.status_code = 304
        return response
    span = _wanted_span(tag, size_bytes)
    start, stop = span or (0, size_bytes)
    response.status_code = 206 if span else 200
    response.content_length = stop - start
    if span:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size_bytes}"
    if request.method == "HEAD":
        recorded.check(wanted)
    else:
        # Before the storage is asked: a refusal should cost little.
        services().open_calls.hold()
        opened = recorded.open(wanted, f"bytes={start}-{stop - 1}")
        response.response = opened.chunks()
        response.call_on_close(opened.body.close)
    return response


def _wanted_span(tag: str, size_bytes: int) -> tuple[int, int] | None:
    """Return the bytes that are asked for, as start and stop; None for all. Raises RangeUnsatisfiableError."""
    wanted = request.range
    if request.method == "HEAD" or wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        # Several ranges at once, and units unknown here, may be answered by the whole; ranges are for GET alone.
        return None
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip('"') != tag:
        return None
    span = wanted.range_for_length(size_bytes)
    if span is None:
        raise RangeUnsatisfiableError(size_bytes)
    return span


def _download_name(job: Job, output: Output) -> str:
    if output.kind != "stem":
        return output.filename
    return f"{_song(job)} - {output.filename}"


def _song(job: Job) -> str:
    filename = job.request.source.filename
    return filename.rpartition(".")[0] or filename


def _filename_parameter(filename: str) -> str:
    """Return a name for Content-Disposition (RFC 6266): headers are ASCII, other names are percent-encoded."""
    if filename.isascii():
        escaped = filename.replace("\\", "\\\\").replace('"', '\\"')
        return f'filename="{escaped}"'
    return f"filename*=UTF-8''{quote(filename, safe='')}"


def _audio_type(filename: str) -> str:
    guessed = mimetypes.guess_type(filename)[0] or ""
    # The name is the client's word: it must not make a browser show a page.
    return guessed if guessed.startswith(("audio/", "video/")) else "application/octet-stream"


def _as_response(answer: object) -> Response:
    assert isinstance(answer, Response)  # noqa: S101 - what Flask's redirect makes by default
    return answer
