"""The server below a path of its host: whatever an answer links to is reached through the proxy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient
from pydantic import ValidationError

from api.app import create_app
from api.contract.webhook_messages import batch_message, job_message
from shared.batches.store import BatchStore
from shared.settings import Settings
from tests.fixtures.api import StandIn, submit
from tests.fixtures.batches import Catalog

ROOT = "/stems"
LINK = re.compile(r'(?:href|src)="([^"]+)"')
PAGES = ["/", "/jobs/ab12", "/jobs/ab12/", "/batches", "/batches/", "/batches/cd34", "/docs", "/docs/"]


@pytest.fixture
def below(settings: Settings, stand_in: StandIn) -> FlaskClient:
    del stand_in
    return create_app(settings.model_copy(update={"api_public_path": ROOT})).test_client()


def paths_in(node: Any) -> Iterator[str]:
    """Yield every text in a JSON value that looks like a path of the API."""
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from paths_in(inner)
    elif isinstance(node, str) and re.match(r"/\w", node):
        yield node


def test_every_link_of_a_job_leads_through_the_path(below: FlaskClient, stand_in: StandIn) -> None:
    accepted = submit(below)
    job_id = accepted.json["id"]
    assert accepted.headers["Location"] == f"{ROOT}/v1/jobs/{job_id}"
    stand_in.queue.dispatch()
    stand_in.succeed(job_id)
    job = below.get(accepted.headers["Location"]).json
    listed = below.get(f"{ROOT}/v1/jobs").json["jobs"][0]
    events = below.get(f"{ROOT}/v1/jobs/{job_id}/events").text
    streamed = json.loads(next(line[5:] for line in events.splitlines() if line.startswith("data:")))
    for found in (job, listed, streamed):
        links = list(paths_in(found))
        assert len(links) >= 9
        assert all(link.startswith(f"{ROOT}/v1/jobs/{job_id}") for link in links)
        for link in links:
            assert below.get(link).status_code in {200, 405, 409}, link
            # A proxy may also remove the path.
            assert below.get(link.removeprefix(ROOT)).status_code in {200, 405, 409}, link


def test_every_link_of_a_batch_leads_through_the_path(below: FlaskClient, catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    accepted = below.post(f"{ROOT}/v1/batches", json={"items": [{"source": source}]})
    batch_id = accepted.json["id"]
    assert accepted.headers["Location"] == f"{ROOT}/v1/batches/{batch_id}"
    catalog.work_off(batch_id)
    batch = below.get(accepted.headers["Location"]).json
    items = below.get(batch["links"]["items"]).json
    rows = [json.loads(line) for line in below.get(batch["links"]["report_jsonl"]).text.splitlines()]
    found = [*paths_in(batch), *paths_in(items), *paths_in(rows), *paths_in(below.get(f"{ROOT}/v1/batches").json)]
    assert len(found) >= 10
    assert all(link.startswith(f"{ROOT}/v1/") for link in found)
    assert f"{ROOT}/v1/jobs/" in below.get(batch["links"]["report_csv"]).text
    assert below.get(items["items"][0]["outputs"][0]["url"]).status_code == 200


def test_webhooks_link_through_the_path(below: FlaskClient, stand_in: StandIn, catalog: Catalog) -> None:
    job = stand_in.store.read_job(submit(below).json["id"])
    assert json.loads(job_message("job.succeeded", 0.0, job, ROOT))["data"]["url"] == f"{ROOT}/v1/jobs/{job.id}"
    made = below.post("/v1/batches", json={"items": [{"source": catalog.put_song("songs/a.flac")}]}).json
    batch = BatchStore(stand_in.settings).read_batch(made["id"])
    assert json.loads(batch_message("batch.ended", 0.0, batch, ROOT))["data"]["url"] == f"{ROOT}/v1/batches/{batch.id}"


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("root", ["", ROOT])
@pytest.mark.parametrize("published", ["/stems", "/music/stems"])
def test_what_a_document_loads_is_below_the_path(settings: Settings, page: str, root: str, published: str) -> None:
    """Without the setting links are relative, for a proxy that removes whatever path it has."""
    web = create_app(settings.model_copy(update={"api_public_path": root and published})).test_client()
    links = LINK.findall(web.get(page).text)
    assert len(links) >= 4
    for link in links:
        address = urljoin(f"https://host.example{published}{page}", link)
        assert address.startswith(f"https://host.example{published}/")
        assert web.get(address.removeprefix(f"https://host.example{published}")).status_code == 200, address


def test_the_api_document_names_the_path(below: FlaskClient, web: FlaskClient) -> None:
    assert below.get(f"{ROOT}/v1/openapi.json").json["servers"] == [{"url": ROOT}]
    assert web.get("/v1/openapi.json").json["servers"] == [{"url": "/"}]


def test_other_paths_are_not_taken_for_it(below: FlaskClient) -> None:
    assert below.get(f"{ROOT}").status_code == 200
    assert below.get(f"{ROOT}/").status_code == 200
    assert below.get(f"{ROOT}x/v1/jobs").status_code == 404
    assert below.get(f"{ROOT}{ROOT}/v1/jobs").status_code == 404


@pytest.mark.parametrize(("given", "read"), [("stems", "/stems"), ("/stems/", "/stems"), ("/a/b", "/a/b"), ("/", "")])
def test_slashes_at_the_ends_make_no_difference(given: str, read: str) -> None:
    assert Settings(api_public_path=given).api_public_path == read


@pytest.mark.parametrize("path", ["/v1", "/v1/x", "https://host/stems", "/a b", "/a?b", "//", "/a//b", '/"'])
def test_what_is_no_path_is_refused(path: str) -> None:
    if path.strip("/"):
        with pytest.raises(ValidationError):
            Settings(api_public_path=path)
    else:
        assert Settings(api_public_path=path).api_public_path == ""
