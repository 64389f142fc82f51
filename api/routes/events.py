"""Streams a job's changes as Server-Sent Events: its current state first, then each change until it has ended.

A client whose stream breaks or reaches its time limit opens another. It misses nothing, since every stream starts with
the current state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from flask import Blueprint, Response, request

from api.access.authentication import key_check
from api.contract.errors import KeyInvalidError, StreamsExhaustedError
from api.contract.examples.files import EXAMPLE_EVENTS
from api.contract.job_json import etag_of, job_json
from api.contract.openapi import Operation, describes
from api.job_change_feed import Follower
from api.routes.ownership import find_job
from api.routes.prefer_wait import has_ended
from api.services import services
from shared.batches.item_status import BatchItems
from shared.errors import JobNotFoundError, TransientError

blueprint = Blueprint("events", __name__, url_prefix="/v1/jobs/<job_id>")

HEARTBEAT_SECONDS = 15.0
"""The longest silence. It keeps proxies from closing the stream and detects clients that have disconnected."""

STREAM_SECONDS = 600.0
"""The longest duration of a stream; clients then open another. It bounds how long an abandoned one is kept."""


@blueprint.get("/events")
@describes(
    Operation(
        "Follow a job",
        tag="jobs",
        media={200: ("text/event-stream",)},
        examples={"text/event-stream": EXAMPLE_EVENTS},
        problems=(404, 503),
    ),
)
def events(job_id: str) -> Response:
    """Send the job at once and after each change, as `event: job` with the job as JSON in `data`.

    The stream ends when the job has ended. `event: deleted` means that the job was deleted. If the stream ends
    earlier, open another.
    """
    find_job(job_id)
    following = services().changes.follow(job_id)
    follower = following.__enter__()
    if follower is None:
        raise StreamsExhaustedError("The server cannot open another event stream. Poll the job, or try again later.")
    stream = _stream(services().items, job_id, follower, key_check(), request.script_root)
    response = Response(stream, content_type="text/event-stream")
    response.call_on_close(lambda: following.__exit__(None, None, None))
    # Otherwise nginx holds events back until its buffer is full.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _stream(
    items: BatchItems, job_id: str, follower: Follower, check_key: Callable[[], None], root: str
) -> Iterator[str]:
    deadline, sent, silent_since = time.monotonic() + STREAM_SECONDS, "", time.monotonic()
    yield "retry: 2000\n\n"
    while time.monotonic() < deadline and not follower.is_server_stopping:
        try:
            job = items.read_job(job_id)
            check_key()
        except JobNotFoundError:
            yield f'event: deleted\ndata: {{"id": "{job_id}"}}\n\n'
            return
        except (KeyInvalidError, TransientError):
            # The client opens another stream and gets the error as a status.
            return
        tag, now = etag_of(job), time.monotonic()
        if tag != sent:
            yield f"event: job\nid: {tag}\ndata: {job_json(job, root).decode()}\n\n"
            sent, silent_since = tag, now
        elif now - silent_since >= HEARTBEAT_SECONDS:
            yield ": still here\n\n"
            silent_since = now
        if has_ended(job):
            return
        follower.wait_for_change(min(deadline - now, HEARTBEAT_SECONDS))
