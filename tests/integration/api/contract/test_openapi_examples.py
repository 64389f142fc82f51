"""Every example of the OpenAPI document is valid, and looks like what the API really answers."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from flask.testing import FlaskClient

from tests.fixtures.api import StandIn, submit
from tests.fixtures.batches import Catalog

BINARY = {"type": "string", "format": "binary"}

FREE = frozenset({"metadata", "parameters", "gains_db", "scores", "fields", "faults", "format_options"})
"""Members whose own members are names that differ from case to case."""


@pytest.fixture
def document(web: FlaskClient) -> dict[str, Any]:
    document: dict[str, Any] = web.get("/v1/openapi.json").json
    return document


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each body of a request or answer: its place, and its media type object."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for kind, media in operation.get("requestBody", {}).get("content", {}).items():
                yield f"{method} {path} {kind}", media
            for status, answer in operation["responses"].items():
                for kind, media in answer.get("content", {}).items():
                    yield f"{method} {path} {status} {kind}", media


def examples_of(document: dict[str, Any], media: dict[str, Any]) -> list[Any]:
    if "example" in media:
        return [media["example"]]
    name = media["schema"].get("$ref", "").rpartition("/")[2]
    examples: list[Any] = document["components"]["schemas"].get(name, {}).get("examples", [])
    return examples


def example(document: dict[str, Any], path: str, method: str, status: int, kind: str = "application/json") -> Any:
    media = document["paths"][path][method]["responses"][str(status)]["content"][kind]
    return examples_of(document, media)[0]


def differences(example: Any, answer: Any, place: str = "") -> Iterator[str]:
    """Yield where an example has other members or kinds of values than an answer. Workers may tell more or less."""
    if isinstance(example, dict) and isinstance(answer, dict):
        if place.rpartition(".")[2] in FREE:
            return
        told_by_workers = place.endswith((".source", "[]", ".report", ".beats"))
        if (answer.keys() - example.keys()) or (example.keys() != answer.keys() and not told_by_workers):
            yield f"{place}: {sorted(example.keys() ^ answer.keys())}"
        for name in example.keys() & answer.keys():
            yield from differences(example[name], answer[name], f"{place}.{name}")
    elif isinstance(example, list) and isinstance(answer, list):
        if example and answer:
            yield from differences(example[0], answer[0], f"{place}[]")
    elif example is not None and answer is not None:
        kinds = [float if type(value) is int else type(value) for value in (example, answer)]
        if kinds[0] is not kinds[1]:
            yield f"{place}: {example!r}, {answer!r}"


def test_every_request_and_answer_that_is_text_has_valid_examples(document: dict[str, Any]) -> None:
    for place, media in bodies(document):
        examples = examples_of(document, media)
        assert bool(examples) != (media["schema"] == BINARY), place
        schema = {**media["schema"], "components": document["components"]}
        for shown in examples if media["schema"] != BINARY else ():
            jsonschema.Draft202012Validator(schema).validate(shown)


def test_jobs_look_like_their_examples(web: FlaskClient, stand_in: StandIn, document: dict[str, Any]) -> None:
    queued = submit(web, metadata='{"isrc": "QZ1"}', then='[{"from": "vocals"}]')
    ended, canceled = submit(web).json["id"], submit(web).json["id"]
    stand_in.queue.dispatch()
    stand_in.succeed(ended)
    mixes = {"mixes": [{"name": "karaoke", "gains_db": {"vocals": None}}], "format": "mp3"}
    mixing = web.post(f"/v1/jobs/{ended}/mixes", json=mixes).json
    answers = {
        ("/v1/jobs", "post", 202): queued.json,
        ("/v1/jobs/{job_id}/cancel", "post", 200): web.post(f"/v1/jobs/{canceled}/cancel").json,
        ("/v1/jobs/{job_id}/retry", "post", 202): web.post(f"/v1/jobs/{canceled}/retry").json,
        ("/v1/jobs/{job_id}/mixes", "post", 202): mixing,
    }
    stand_in.queue.dispatch()
    stand_in.succeed(mixing["id"])
    answers["/v1/jobs/{job_id}/mixes", "post", 200] = web.get(f"/v1/jobs/{mixing['id']}").json
    answers["/v1/jobs", "get", 200] = {**web.get("/v1/jobs").json, "jobs": [web.get(f"/v1/jobs/{ended}").json]}
    for place, answer in answers.items():
        assert list(differences(example(document, *place), answer)) == [], place
    shown = example(document, "/v1/jobs/{job_id}/mixes", "post", 202)
    assert shown["mixes_wanted"] == mixing["mixes_wanted"]
    events = web.get(f"/v1/jobs/{ended}/events").text
    shown_events = example(document, "/v1/jobs/{job_id}/events", "get", 200, "text/event-stream")
    assert [line.partition(":")[0] for line in shown_events.splitlines()] == [
        line.partition(":")[0] for line in events.splitlines()
    ]


def test_batches_look_like_their_examples(catalog: Catalog, document: dict[str, Any]) -> None:
    web, source = catalog.web, catalog.put_song("songs/a.flac")
    body = {"defaults": {"mixes": ["minus:vocals"]}, "items": [{"source": source}, {"source": {}}]}
    estimate = web.post("/v1/batches/preflight", json=body).json
    new = catalog.submit(**body)
    canceled = web.post(f"/v1/batches/{catalog.submit(**body)['id']}/cancel").json
    catalog.work_off(new["id"])
    path = f"/v1/batches/{new['id']}"
    listed = web.get("/v1/batches?limit=1").json
    answers = {
        ("/v1/batches", "post", 202): new,
        ("/v1/batches", "get", 200): listed,
        ("/v1/batches/preflight", "post", 200): estimate,
        ("/v1/batches/{batch_id}", "get", 200): web.get(path).json,
        ("/v1/batches/{batch_id}/cancel", "post", 202): canceled,
        ("/v1/batches/{batch_id}/items", "get", 200): web.get(f"{path}/items?limit=1").json,
    }
    for place, answer in answers.items():
        assert list(differences(example(document, *place), answer)) == [], place
    report = "/v1/batches/{batch_id}/report"
    rows = csv.reader(web.get(f"{path}/report.csv").text.splitlines())
    columns, *lines = csv.reader(example(document, f"{report}.csv", "get", 200, "text/csv").splitlines())
    assert columns == next(rows)
    assert {len(cells) for cells in (*lines, *rows)} == {len(columns)}
    line = json.loads(example(document, f"{report}.jsonl", "get", 200, "application/jsonl"))
    assert list(differences(line, json.loads(web.get(f"{path}/report.jsonl").text.splitlines()[0]))) == []
    shown_cursor = example(document, "/v1/batches", "get", 200)["next_starting_after"]
    assert re.sub(r"\w", "x", shown_cursor) == re.sub(r"\w", "x", listed["next_starting_after"])


def test_the_server_and_uploads_look_like_their_examples(catalog: Catalog, document: dict[str, Any]) -> None:
    web = catalog.web
    answers = {
        ("/v1/engines", "get", 200): web.get("/v1/engines").json,
        ("/healthz", "get", 200): web.get("/healthz").json,
        ("/readyz", "get", 200): web.get("/readyz").json,
        ("/v1/uploads", "post", 201): web.post("/v1/uploads?filename=song.mp3", data=b"so\0ng").json,
    }
    for place, answer in answers.items():
        assert list(differences(example(document, *place), answer)) == [], place
    formats = {shown["name"]: shown for shown in answers["/v1/engines", "get", 200]["formats"]}
    for shown in example(document, "/v1/engines", "get", 200)["formats"]:
        assert shown == formats[shown["name"]]


def test_errors_are_those_that_the_api_answers(catalog: Catalog, stand_in: StandIn, document: dict[str, Any]) -> None:
    web = catalog.web
    ended, job_id = submit(web).json["id"], submit(web).json["id"]
    stand_in.queue.dispatch()
    stand_in.succeed(ended)
    gone, upload_id = "0" * 32, web.post("/v1/uploads", data=b"so\0ng").json["upload_id"]
    batch_id = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}])["id"]
    answers = {
        ("/v1/jobs", "post", 400): web.post("/v1/jobs", data=b"{", content_type="application/json"),
        ("/v1/jobs/{job_id}", "get", 404): web.get(f"/v1/jobs/{gone}"),
        ("/v1/jobs/{job_id}", "delete", 409): web.delete(f"/v1/jobs/{job_id}"),
        ("/v1/jobs", "post", 410): web.post("/v1/jobs", json={"source": {"upload_id": gone}}),
        ("/v1/uploads", "post", 415): web.post("/v1/uploads", data=b"\x89PNG\r\n\x1a\n"),
        ("/v1/jobs/{job_id}/stems/{name}", "get", 404): web.get(f"/v1/jobs/{ended}/stems/piano"),
        ("/v1/jobs/{job_id}/stems/{name}", "get", 416): web.get(
            f"/v1/jobs/{ended}/stems/vocals", headers={"Range": "bytes=1000-"}
        ),
        ("/v1/jobs", "post", 422): web.post("/v1/jobs", json={"source": {"upload_id": upload_id}, "engine": "unnet"}),
        ("/v1/batches/{batch_id}", "get", 404): web.get(f"/v1/batches/{gone}"),
        ("/v1/batches/{batch_id}", "delete", 409): web.delete(f"/v1/batches/{batch_id}"),
    }
    for (path, method, status), answer in answers.items():
        shown = example(document, path, method, status, "application/problem+json")
        assert shown == {**answer.json, "request_id": shown["request_id"]}, (path, method)
