"""Downloads of a job's outputs and of its mixture, with byte ranges, and of all outputs as one ZIP archive.

By default they are streamed from storage through the API. If the storage has a public address, the response is a
redirect to a signed link.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote

from flask import Blueprint, Response, redirect, request

from api.contract.errors import OutputNotFoundError, RangeUnsatisfiableError
from api.contract.examples.files import EXAMPLE_BEATS, EXAMPLE_REPORT, EXAMPLE_WAVEFORM
from api.contract.examples.job import EXAMPLE_QUEUED_JOB
from api.contract.job_json import COLLECTIONS, job_json
from api.contract.job_responses import JobResource
from api.contract.openapi import Operation, describes
from api.recorded_objects import Recorded
from api.routes.jobs import retry_after_seconds
from api.routes.ownership import find_job
from api.routes.zip_archive import Entry, archive_bytes, zip_chunks
from api.services import services
from shared.audio.formats import holds_stems
from shared.audio.mixes import STEM_FILE_MIXES
from shared.audio.names import without_audio_extension
from shared.jobs.model import AUDIO_KINDS, TERMINAL, Job, Output

blueprint = Blueprint("outputs", __name__, url_prefix="/v1/jobs/<job_id>")

LINK_SECONDS = 900
"""How long a signed link is valid. A higher value gives slow clients more time to start, but also leaked links."""

ARCHIVED = frozenset({"stem", "mix", "picture", "beats", "report"})

KINDS = {collection: kind for kind, collection in COLLECTIONS.items()}

DOWNLOAD = Operation(
    "Read an output",
    tag="outputs",
    answers={202: JobResource},
    examples={202: EXAMPLE_QUEUED_JOB},
    empty=(302, 304),
    problems=(404, 410, 416, 503),
    conditional=True,
)


def _downloads(*kinds: str, example: Mapping[str, object] | None = None) -> Operation:
    """Return the description of an operation that sends files of these media types; `example` is one of JSON."""
    examples = {**DOWNLOAD.examples, "application/json": example}
    return replace(DOWNLOAD, media={200: kinds, 206: kinds}, examples=examples if example else DOWNLOAD.examples)


@blueprint.get("/stems/<name>", defaults={"kind": "stems"})
@blueprint.get("/mixes/<name>", defaults={"kind": "mixes"})
@describes(_downloads("audio/*"))
def read_audio(job_id: str, kind: str, name: str) -> Response:
    """Return a stem or mix. 202 with the job until it has ended."""
    return _send_output(find_job(job_id), KINDS[kind], name)


@blueprint.get("/pictures/<name>")
@describes(_downloads("image/png"))
def read_picture(job_id: str, name: str) -> Response:
    """Return a picture. 202 with the job until it has ended."""
    return _send_output(find_job(job_id), "picture", name)


@blueprint.get("/waveforms/<name>")
@describes(_downloads("application/json", example=EXAMPLE_WAVEFORM))
def read_waveform(job_id: str, name: str) -> Response:
    """Return the waveform of a stem, a mix or the mixture as JSON.

    `peaks` has the lowest and the highest sample of each span, one after the other. 202 with the job until it has
    ended.
    """
    return _send_output(find_job(job_id), "waveform", name)


@blueprint.get("/report")
@describes(_downloads("application/json", example=EXAMPLE_REPORT))
def read_report(job_id: str) -> Response:
    """Return the report of the separation. 202 with the job until it has ended."""
    return _send_output(find_job(job_id), "report", "report")


@blueprint.get("/beats")
@describes(_downloads("application/json", example=EXAMPLE_BEATS))
def read_beats(job_id: str) -> Response:
    """Return the times of the song's beats as JSON. 202 with the job until it has ended; 404 without a sure tempo."""
    return _send_output(find_job(job_id), "beats", "beats")


@blueprint.get("/source")
# The client's file may be of any type; the type is derived from its name.
@describes(_downloads("audio/*", "video/*", "application/octet-stream"))
def read_source(job_id: str) -> Response:
    """Return the mixture as it was uploaded."""
    source = find_job(job_id).request.source
    if not source.key:
        raise OutputNotFoundError("The mixture does not exist yet: the job that makes it has not ended.")
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
        examples={202: EXAMPLE_QUEUED_JOB},
        media={200: ("application/zip",)},
        empty=(304,),
        problems=(404, 410, 503),
        conditional=True,
    )
)
def read_archive(job_id: str) -> Response:
    """Return stems, mixes, pictures, beats and report as one ZIP archive. 202 with the job until it has ended."""
    job = find_job(job_id)
    outputs = [o for o in job.outputs if o.role in ARCHIVED]
    if not outputs or job.finished_at is None:
        return _missing_output_response(job, "archive", "archive")
    response = Response(content_type="application/zip")
    response.set_etag(hashlib.sha256("".join(o.sha256 for o in outputs).encode()).hexdigest())
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Content-Disposition"] = f"attachment; {_filename_parameter(f'{_song(job)} - stems.zip')}"
    if request.if_none_match.contains(response.get_etag()[0] or ""):
        response.status_code = 304
        return response
    recorded = services().recorded
    # Checked before the response starts, so that a missing object is an error status and not a truncated archive.
    for output in outputs:
        recorded.require_unchanged(_recorded(output))
    entries = [Entry(o.filename, o.size_bytes, partial(recorded.open, _recorded(o))) for o in outputs]
    response.content_length = archive_bytes(entries)
    if request.method == "HEAD":
        # An empty iterator and not an empty body, for which Flask would send Content-Length 0.
        response.response = iter(())
    else:
        services().open_calls.count_request()
        response.response = zip_chunks(entries, datetime.fromtimestamp(job.finished_at, UTC))
    return response


def _send_output(job: Job, kind: str, name: str) -> Response:
    output = job.output(kind, name)
    if output is None:
        return _missing_output_response(job, kind, name)
    return _send(
        _recorded(output),
        filename=_download_name(job, output),
        content_type=output.content_type,
        size_bytes=output.size_bytes,
        tag=output.sha256,
    )


def _recorded(output: Output) -> Recorded:
    return Recorded(output.key, output.etag, output.sha256)


def _missing_output_response(job: Job, kind: str, name: str) -> Response:
    stems, mixes = job.request.stems, {mix.name for mix in job.request.mixes}
    if holds_stems(job.request.format):
        stems, mixes = (), {STEM_FILE_MIXES[0].name}
    is_unwanted = (kind == "stem" and stems is not None and name not in stems) or (kind == "mix" and name not in mixes)
    if job.state in TERMINAL or is_unwanted:
        raise OutputNotFoundError(f"The job is {job.state} and has no {kind} named {name!r}.")
    response = Response(job_json(job, request.script_root), status=202, content_type="application/json")
    response.headers["Retry-After"] = str(retry_after_seconds(job))
    return response


def _send(wanted: Recorded, *, filename: str, content_type: str, size_bytes: int, tag: str) -> Response:
    recorded = services().recorded
    if services().settings.s3_public_endpoint_url:
        # Checked now, since nothing checks the object when the link is followed. A link to one version of the object
        # would need a bucket with versioning.
        recorded.require_unchanged(wanted)
        link = services().storage.signed_url(
            wanted.key, filename=filename, content_type=content_type, seconds=LINK_SECONDS, bucket=wanted.bucket
        )
        return _as_response(redirect(link, 302))
    response = Response(content_type=content_type)
    response.set_etag(tag)
    response.headers["Accept-Ranges"] = "bytes"
    # Outputs never change but can be deleted, so caches must revalidate.
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
        recorded.require_unchanged(wanted)
    else:
        # Before the request to storage, so that a refusal costs little.
        services().open_calls.count_request()
        opened = recorded.open(wanted, f"bytes={start}-{stop - 1}")
        response.response = opened.chunks()
        response.call_on_close(opened.body.close)
    return response


def _wanted_span(tag: str, size_bytes: int) -> tuple[int, int] | None:
    """Return the start and stop of the requested bytes; None for all. Raises RangeUnsatisfiableError."""
    wanted = request.range
    if request.method == "HEAD" or wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        # HTTP allows the whole object as the response to several ranges or unknown units. Ranges apply to GET only.
        return None
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip('"') != tag:
        return None
    span = wanted.range_for_length(size_bytes)
    if span is None:
        raise RangeUnsatisfiableError(size_bytes)
    return span


def _download_name(job: Job, output: Output) -> str:
    if output.kind not in AUDIO_KINDS:
        return output.filename
    return f"{_song(job)} - {output.filename}"


def _song(job: Job) -> str:
    return without_audio_extension(job.request.source.filename)


def _filename_parameter(filename: str) -> str:
    """Return a filename parameter for Content-Disposition (RFC 6266); names that are not ASCII are percent-encoded."""
    if filename.isascii():
        escaped = filename.replace("\\", "\\\\").replace('"', '\\"')
        return f'filename="{escaped}"'
    return f"filename*=UTF-8''{quote(filename, safe='')}"


def _audio_type(filename: str) -> str:
    guessed = mimetypes.guess_type(filename)[0] or ""
    # The client chose the name, which must not make a browser show the file as a web page.
    return guessed if guessed.startswith(("audio/", "video/")) else "application/octet-stream"


def _as_response(answer: object) -> Response:
    assert isinstance(answer, Response)  # noqa: S101 - Flask's redirect returns this class by default
    return answer
