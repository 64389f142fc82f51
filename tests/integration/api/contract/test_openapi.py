"""The OpenAPI document says what the API does, and the pages load nothing from elsewhere."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urljoin, urlsplit

import jsonschema
import pytest
from flask.testing import FlaskClient

from api.contract.job_json import job_json, job_resource
from tests.fixtures.api import StandIn, submit


@pytest.fixture
def document(web: FlaskClient) -> dict[str, Any]:
    document: dict[str, Any] = web.get("/v1/openapi.json").json
    return document


def check(document: dict[str, Any], name: str, value: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


def test_every_route_of_the_api_is_in_the_document(web: FlaskClient, document: dict[str, Any]) -> None:
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in web.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(("/v1/", "/healthz", "/readyz")) and rule.rule != "/v1/openapi.json"
    }
    assert served == {(path, method) for path, item in document["paths"].items() for method in item}


def test_every_reference_in_the_document_resolves(document: dict[str, Any]) -> None:
    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if "$ref" in node else set()
            return own.union(*(references(value) for value in node.values()))
        return set().union(*map(references, node)) if isinstance(node, list) else set()

    assert document["openapi"] == "3.1.0"
    names = {r.removeprefix("#/components/schemas/") for r in references(document)}
    assert names <= set(document["components"]["schemas"])
    jsonschema.Draft202012Validator.check_schema(document["components"]["schemas"])
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


def test_every_example_is_valid(document: dict[str, Any]) -> None:
    examples = [
        (name, example)
        for name, schema in document["components"]["schemas"].items()
        for example in schema.get("examples", ())
    ]
    assert {"JobResource", "JobSubmission", "ContinuationWish", "MixSubmission"} <= {name for name, _ in examples}
    for name, example in examples:
        check(document, name, example)


def test_the_example_of_a_job_has_what_a_job_has(web: FlaskClient, stand_in: StandIn, document: dict[str, Any]) -> None:
    job_id = submit(web, metadata='{"isrc": "QZ1"}', then='[{"from": "vocals"}]').json["id"]
    stand_in.queue.dispatch()
    music = {"tempo_bpm": 123.9, "tempo_confidence": 0.9, "beats_count": 3, "key": "F# minor", "key_confidence": 0.8}
    stand_in.succeed(job_id, music=music)
    job, (example,) = web.get(f"/v1/jobs/{job_id}").json, document["components"]["schemas"]["JobResource"]["examples"]
    assert example.keys() == job.keys()
    # A worker tells more of stems and pictures than the one that stands in.
    for name in ("times", "links", "music", "beats", "report"):
        assert example[name].keys() == job[name].keys(), name
    assert job["source"].keys() <= example["source"].keys()
    for name in ("stems", "waveforms", "pictures"):
        assert {*example[name][0]} >= {*job[name][0]}, name
    assert example["then"][0].keys() == job["then"][0].keys()


def test_what_is_put_together_by_hand_is_what_the_model_would_write(web: FlaskClient, stand_in: StandIn) -> None:
    plain, whole = submit(web), submit(web, excerpt_start_seconds="1.5", stems="vocals", metadata='{"a": [1, "ä"]}')
    failed = submit(web, parameters='{"margin": 1.5}', bitrate_kbps="320", format="mp3")
    stand_in.claim(plain.json["id"])
    stand_in.succeed(whole.json["id"])
    stand_in.queue.dispatch()
    stand_in.fail(failed.json["id"])
    for made in (plain, whole, failed, submit(web)):
        job = stand_in.store.read_job(made.json["id"])
        assert json.loads(job_json(job, "")) == json.loads(job_resource(job, "").model_dump_json())


def test_answers_are_as_the_document_says(web: FlaskClient, stand_in: StandIn, document: dict[str, Any]) -> None:
    path = submit(web).headers["Location"]
    check(document, "JobResource", web.get(path).json)
    stand_in.succeed(path.rsplit("/", 1)[1])
    check(document, "JobResource", web.get(path).json)
    failed = submit(web).headers["Location"]
    stand_in.fail(failed.rsplit("/", 1)[1])
    check(document, "JobResource", web.get(failed).json)
    check(document, "JobListResource", web.get("/v1/jobs").json)
    check(document, "EnginesResource", web.get("/v1/engines").json)
    check(document, "HealthResource", web.get("/readyz").json)
    check(document, "Problem", web.get("/v1/jobs?limit=0").json)
    check(document, "UploadResource", web.post("/v1/uploads", data=b"x").json)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_hold_no_script_no_style_and_nothing_from_elsewhere(web: FlaskClient, path: str) -> None:
    page = web.get(path)
    assert page.mimetype == "text/html"
    assert not re.search(r"<style|<script[^>]*>[^<]|\son\w+=|\sstyle=", page.text)
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert not urlsplit(address).netloc
        assert web.get(urljoin(path, address)).status_code == 200


def test_the_document_can_be_cached_by_nobody_unasked(web: FlaskClient) -> None:
    assert web.get("/v1/openapi.json").headers["Cache-Control"] == "no-store"


def test_a_retry_tells_that_its_source_may_be_gone(document: dict[str, Any]) -> None:
    answers = document["paths"]["/v1/jobs/{job_id}/retry"]["post"]["responses"]
    assert "410" in answers
