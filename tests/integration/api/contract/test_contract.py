"""The API keeps to its own description, whatever a client sends: schemathesis against the OpenAPI document.

Every exception from its checks stands here with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis.openapi
from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.schemas import BaseSchema

from api.app import create_app
from api.contract.openapi import document
from shared.batches.model import batch_id_from
from shared.jobs.store import new_id
from shared.settings import Settings
from tests.fixtures.api import StandIn
from tests.fixtures.batches import Catalog

load_all_checks()

DOCUMENT: dict[str, Any] = document(create_app(Settings()), "1")
OPERATIONS = [(method, path) for path, item in DOCUMENT["paths"].items() for method in item]

EXAMPLES = 12
"""For each operation and mode; raising it finds more and takes longer (about 30 s as it is)."""

REFUSES_WHAT_THE_SCHEMA_ALLOWS = {
    ("post", "/v1/jobs"): "engines, presets and uploads are names of things that may not be there (410, 422)",
    ("post", "/v1/jobs/{job_id}/mixes"): "mixes have different names, and name stems that may not be there (409, 422)",
    ("get", "/v1/jobs"): "`starting_after` and `batch` name what may not be there (422, 404)",
    (
        "post",
        "/v1/batches",
    ): "one of three ways to name tracks; what it names may not be there (410, 422)",
    ("post", "/v1/batches/preflight"): "likewise (410, 422)",
    ("get", "/v1/batches"): "`starting_after` names a batch that may not be there (422)",
    ("post", "/v1/uploads"): "an empty file is text like any other to the schema, and no audio (422)",
}
"""Why a call may refuse what the schema allows; checked otherwise: that the refusal is one that is documented."""


def can_be_wrong(method: str, path: str) -> bool:
    """Return whether a request can break the description; a path and headers may hold any text."""
    operation = DOCUMENT["paths"][path][method]
    return "requestBody" in operation or any(p["in"] == "query" for p in operation["parameters"])


@pytest.fixture
def schema(settings: Settings) -> BaseSchema:
    return schemathesis.openapi.from_wsgi("/v1/openapi.json", create_app(settings))


@pytest.fixture
def job_ids(settings: Settings, stand_in: StandIn) -> list[str]:
    """Jobs of several states, and one that is not there."""
    web = create_app(settings).test_client()
    upload = web.post("/v1/uploads", data=b"s\0ng").json["upload_id"]
    succeeded, failed, queued = (
        web.post("/v1/jobs", json={"source": {"upload_id": upload}}).json["id"] for _ in range(3)
    )
    stand_in.succeed(succeeded)
    stand_in.fail(failed)
    return [succeeded, failed, queued, new_id()]


@pytest.fixture
def batch_ids(catalog: Catalog) -> list[str]:
    """Batches of several states, and one that is not there."""
    source = catalog.put_song("songs/a.flac")
    submit: Callable[[], str] = lambda: catalog.submit(items=[{"source": source}, {"source": {}}])["id"]
    ended = submit()
    catalog.work_off(ended)
    running = submit()
    catalog.feed()
    return [ended, running, submit(), batch_id_from(new_id())]


def check_operation(
    schema: BaseSchema, operation: tuple[str, str], mode: GenerationMode, job_ids: list[str], batch_ids: list[str]
) -> None:
    method, path = operation
    excluded = [CHECKS.get_one("positive_data_acceptance")] if operation in REFUSES_WHAT_THE_SCHEMA_ALLOWS else []

    @with_settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(
        case=schema[path][method].as_strategy(generation_mode=mode),
        job=st.sampled_from([None, *job_ids]),
        batch=st.sampled_from([None, *batch_ids]),
    )
    def check(case: Case, job: str | None, batch: str | None) -> None:
        if job and "job_id" in case.path_parameters:
            case.path_parameters["job_id"] = job
        if batch and "batch_id" in case.path_parameters:
            case.path_parameters["batch_id"] = batch
        case.call_and_validate(excluded_checks=excluded)

    check()


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_what_the_description_allows_is_answered_as_it_says(
    schema: BaseSchema, job_ids: list[str], batch_ids: list[str], operation: tuple[str, str]
) -> None:
    check_operation(schema, operation, GenerationMode.POSITIVE, job_ids, batch_ids)


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if can_be_wrong(*o)], ids=" ".join)
def test_what_the_description_forbids_is_refused_as_it_says(
    schema: BaseSchema, job_ids: list[str], batch_ids: list[str], operation: tuple[str, str]
) -> None:
    check_operation(schema, operation, GenerationMode.NEGATIVE, job_ids, batch_ids)
