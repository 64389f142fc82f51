"""Lists of jobs: pages, cursors, filters."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from shared.api_keys import ApiKeys
from shared.jobs.store import new_id
from shared.redis_client.connection import connect
from shared.redis_client.pagination import ids_after
from shared.settings import Settings
from tests.fixtures.api import ENGINE, StandIn, submit
from tests.fixtures.batches import Catalog


@pytest.mark.usefixtures("stand_in")
def test_lists_are_paged_newest_first(web: FlaskClient) -> None:
    ids = [submit(web, filename=f"{n}.mp3").json["id"] for n in range(5)]
    first = web.get("/v1/jobs?limit=2").json
    assert first["has_more"]
    second = web.get(f"/v1/jobs?limit=2&starting_after={first['next_starting_after']}").json
    third = web.get(f"/v1/jobs?limit=2&starting_after={second['next_starting_after']}").json
    assert [j["id"] for page in (first, second, third) for j in page["jobs"]] == ids[::-1]
    assert (third["has_more"], third["next_starting_after"]) == (False, None)


@pytest.mark.usefixtures("stand_in")
def test_who_deletes_each_page_that_he_has_read_reads_on(web: FlaskClient) -> None:
    ids = [submit(web).json["id"] for _ in range(5)]
    for job_id in ids:
        web.post(f"/v1/jobs/{job_id}/cancel")
    seen, following = [], ""
    while following is not None:
        page = web.get(f"/v1/jobs?limit=2{following and '&starting_after=' + following}").json
        for job in page["jobs"]:
            seen.append(job["id"])
            assert web.delete(f"/v1/jobs/{job['id']}").status_code == 204
        following = page["next_starting_after"]
    assert seen == ids[::-1]


def test_a_page_begins_where_a_record_that_is_gone_stood(settings: Settings) -> None:
    client, ids = connect(settings), [f"{n:032x}" for n in range(6)]
    # Three of one millisecond, in the middle.
    client.zadd("made", dict(zip(ids, (1, 2, 2, 2, 3, 4), strict=True)))
    newest_first, _ = ids_after(client, "made", None, 10) or ([], False)
    made = {record_id: int(client.zscore("made", record_id)) for record_id in ids}
    for place, record_id in enumerate(newest_first):
        client.zrem("made", record_id)
        assert ids_after(client, "made", record_id, 10) is None
        assert ids_after(client, "made", f"{record_id}-{made[record_id]}", 10) == (newest_first[place + 1 :], False)
        client.zadd("made", {record_id: made[record_id]})


def test_lists_tell_which_jobs_wait_for_an_engine_that_no_worker_has(web: FlaskClient, stand_in: StandIn) -> None:
    stand_in.announce(ENGINE, {**ENGINE, "name": "removed"})
    ids = {engine: submit(web, engine=engine).json["id"] for engine in ("repetition", "removed")}
    tag = web.get(f"/v1/jobs/{ids['removed']}").headers["ETag"]

    def waiting(path: str) -> dict[str, str | None]:
        return {job["engine"]: job["waiting_for"] for job in web.get(path).json["jobs"]}

    assert waiting("/v1/jobs") == {"repetition": None, "removed": None}
    stand_in.announce()
    assert waiting("/v1/jobs") == waiting("/v1/jobs?state=queued") == {"repetition": None, "removed": "engine"}
    alone = web.get(f"/v1/jobs/{ids['removed']}", headers={"If-None-Match": tag})
    assert (alone.status_code, alone.json["waiting_for"]) == (200, "engine")
    assert "removed" in alone.json["waiting_because"]
    stand_in.workers.remove("stand-in")
    assert waiting("/v1/jobs") == {"repetition": "engine", "removed": "engine"}


@pytest.mark.usefixtures("stand_in")
def test_lists_can_show_one_state(web: FlaskClient) -> None:
    ids = [submit(web).json["id"] for _ in range(4)]
    for job_id in ids[::2]:
        web.post(f"/v1/jobs/{job_id}/cancel")
    page = web.get("/v1/jobs?state=canceled&limit=1").json
    assert [j["id"] for j in page["jobs"]] == [ids[2]]
    page = web.get(f"/v1/jobs?state=canceled&limit=1&starting_after={page['next_starting_after']}").json
    assert ([j["id"] for j in page["jobs"]], page["has_more"]) == ([ids[0]], False)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "state=lost", "starting_after=zz", f"starting_after={'0' * 32}", "q=1", "limit=1&limit=2"],
)
@pytest.mark.usefixtures("stand_in")
def test_a_wrong_list_query_is_named(web: FlaskClient, query: str) -> None:
    answer = web.get(f"/v1/jobs?{query}")
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, query.partition("=")[0])


def test_the_jobs_of_a_batch_are_listed_in_its_order(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    batch = catalog.submit(items=[{"source": source}, {"source": {}}, {"source": source}, {"source": source}])
    catalog.feed()
    web, ids = catalog.web, [i["job_id"] for i in catalog.items(batch["id"]) if i["job_id"]]
    assert len(ids) == 3
    web.post(f"/v1/jobs/{ids[1]}/cancel")
    first = web.get(f"/v1/jobs?batch={batch['id']}&limit=2").json
    assert ([j["id"] for j in first["jobs"]], first["next_starting_after"]) == (ids[:2], ids[1])
    second = web.get(f"/v1/jobs?batch={batch['id']}&limit=2&starting_after={ids[1]}").json
    assert ([j["id"] for j in second["jobs"]], second["has_more"]) == (ids[2:], False)
    canceled = web.get(f"/v1/jobs?batch={batch['id']}&state=canceled").json
    assert [(j["id"], j["batch_id"]) for j in canceled["jobs"]] == [(ids[1], batch["id"])]


def test_of_a_batch_that_is_none_or_somebody_elses_no_jobs_are_listed(catalog: Catalog) -> None:
    batch = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}])
    catalog.feed()
    [job_id] = [i["job_id"] for i in catalog.items(batch["id"])]
    other = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}])["id"]
    wrong_start = catalog.web.get(f"/v1/jobs?batch={other}&starting_after={job_id}")
    assert (wrong_start.status_code, wrong_start.json["errors"][0]["field"]) == (422, "starting_after")
    for wrong in (new_id(), batch["id"][:-1] + "1"):
        answer = catalog.web.get(f"/v1/jobs?batch={wrong}")
        assert (answer.status_code, answer.json["code"]) == (404, "batch_not_found")
    settings = catalog.settings.model_copy(update={"api_keys_required": True})
    _, key = ApiKeys(settings).create(owner="stranger", scopes=["read"])
    strangers = create_app(settings).test_client()
    answer = strangers.get(f"/v1/jobs?batch={batch['id']}", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json["code"]) == (404, "batch_not_found")


def test_a_batch_that_the_caller_may_not_see_is_answered_alike_by_every_address(catalog: Catalog) -> None:
    batch_id = catalog.submit(items=[{"source": catalog.put_song("songs/a.flac")}])["id"]
    settings = catalog.settings.model_copy(update={"api_keys_required": True})
    keys = {
        name: ApiKeys(settings).create(owner=name, scopes=["admin" if name == "operator" else "read"])[1]
        for name in ("stranger", "operator")
    }
    web = create_app(settings).test_client()
    addresses = ("/v1/batches/{}", "/v1/batches/{}/items", "/v1/batches/{}/report.csv", "/v1/jobs?batch={}")
    for key, some_id, expected in (
        ("operator", batch_id, {(200, None)}),
        ("stranger", batch_id, {(404, "batch_not_found")}),
        ("operator", new_id(), {(404, "batch_not_found")}),
        ("operator", batch_id[:-1] + "1", {(404, "batch_not_found")}),
    ):
        answers = [web.get(a.format(some_id), headers={"Authorization": f"Bearer {keys[key]}"}) for a in addresses]
        codes = {(a.status_code, None if a.status_code == 200 else a.json["code"]) for a in answers}
        assert codes == expected, (key, some_id)
