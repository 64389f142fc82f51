"""Lists of jobs: pages, cursors, filters."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.fixtures.api import submit


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
def test_lists_can_show_one_state(web: FlaskClient) -> None:
    ids = [submit(web).json["id"] for _ in range(4)]
    for job_id in ids[::2]:
        web.post(f"/v1/jobs/{job_id}/cancel")
    page = web.get("/v1/jobs?state=canceled&limit=1").json
    assert [j["id"] for j in page["jobs"]] == [ids[2]]
    page = web.get(f"/v1/jobs?state=canceled&limit=1&starting_after={page['next_starting_after']}").json
    assert ([j["id"] for j in page["jobs"]], page["has_more"]) == ([ids[0]], False)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "state=lost", "starting_after=zz", f"starting_after={'0' * 32}", "q=1"]
)
@pytest.mark.usefixtures("stand_in")
def test_a_wrong_list_query_is_named(web: FlaskClient, query: str) -> None:
    answer = web.get(f"/v1/jobs?{query}")
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, query.partition("=")[0])
