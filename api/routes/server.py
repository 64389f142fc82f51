"""The endpoints about the server itself: engines, liveness, readiness, metrics."""

from __future__ import annotations

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.access.authentication import needs_scope
from api.contract.examples.server import NOT_READY
from api.contract.openapi import Operation, describes
from api.contract.problem_details import RETRY_AFTER_SECONDS
from api.contract.server_responses import EngineResource, EnginesResource, FormatResource, HealthResource
from api.monitoring import metrics
from api.services import services
from shared.audio.formats import FORMATS
from shared.audio.mixes import STEMS_OF_STEM_FILES

blueprint = Blueprint("server", __name__)


@blueprint.get("/v1/engines")
@describes(Operation("List engines", tag="server", answers={200: EnginesResource}, problems=(503,)))
def engines() -> Response:
    """Return the engines of live workers with their presets and parameters, and the server's formats and limits."""
    catalog, settings = services().catalog, services().settings
    found, waiting = catalog.descriptions(), catalog.engines_without_storage()
    resource = EnginesResource(
        engines=[
            EngineResource.model_validate({**d, "waiting_for": "storage" if name in waiting else None})
            for name, d in found.items()
        ],
        default_engine=catalog.default_engine(found),
        formats=[
            FormatResource(
                name=f.name,
                extension=f.extension,
                content_type=f.content_type,
                bit_depths=list(f.bit_depths),
                bitrates_kbps=list(f.bitrates_kbps) if f.bitrates_kbps else None,
                needed_stems=list(STEMS_OF_STEM_FILES) if f.holds_stems else [],
            )
            for f in FORMATS.values()
        ],
        max_upload_bytes=settings.max_upload_bytes,
        max_audio_seconds=settings.max_audio_seconds,
    )
    return Response(resource.model_dump_json(), content_type="application/json")


@blueprint.get("/healthz")
@describes(Operation("Liveness check", tag="server", answers={200: HealthResource}, open_to_all=True))
def health() -> Response:
    """Return 200 if this process responds; checks nothing else."""
    return Response(HealthResource(status="ok").model_dump_json(), content_type="application/json")


@blueprint.get("/readyz")
@describes(
    Operation(
        "Readiness check",
        tag="server",
        answers={200: HealthResource, 503: HealthResource},
        examples={503: NOT_READY},
        open_to_all=True,
    )
)
def ready() -> Response:
    """Return whether a job would be taken, and what is wrong if not. Takes at most two seconds.

    Redis must answer and have memory left, the bucket must answer, and a worker must be alive that reaches the storage.
    At most once a minute (after a failure every 5 s) each API process also stores, reads and deletes a small object.
    """
    faults = services().readiness.faults()
    resource = HealthResource(status="unavailable" if faults else "ok", faults=faults)
    response = Response(resource.model_dump_json(), content_type="application/json")
    if faults:
        response.status_code = 503
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


@blueprint.get("/metrics")
@needs_scope("metrics")
def prometheus() -> Response:
    """Return the metrics of the whole deployment in Prometheus's text format."""
    here = services()
    sources = metrics.Sources(
        settings=here.settings,
        queue=here.queue,
        workers=here.workers,
        statistics=here.statistics,
        batches=here.batches,
        counters=here.counters,
        redis_memory=here.redis_memory,
    )
    return Response(metrics.render(sources), content_type=CONTENT_TYPE_LATEST)
