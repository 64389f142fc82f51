"""Mixes as outputs of a job, with real servers."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from tests.fixtures.api import StandIn, submit
from tests.fixtures.stand_ins.mixes import FOUR, KARAOKE, mix


def test_mixes_are_outputs_of_the_job(web: FlaskClient, stand_in: StandIn) -> None:
    wanted = json.dumps([KARAOKE, "only:vocals", "quiet=vocals:-6"])
    job = submit(web, mixes=wanted, stems="none").json
    assert (job["stems_wanted"], [mix["name"] for mix in job["mixes_wanted"]]) == (
        [],
        ["karaoke", "only-vocals", "quiet"],
    )
    assert job["mixes_wanted"][0] == KARAOKE
    assert job["mixes_wanted"][1] == {"name": "only-vocals", "gains_db": {"vocals": 0.0}, "rest_db": None}
    assert web.get(f"/v1/jobs/{job['id']}/mixes/karaoke").status_code == 202
    assert web.get(f"/v1/jobs/{job['id']}/mixes/other").status_code == 404
    assert web.get(f"/v1/jobs/{job['id']}/stems/vocals").status_code == 404
    stand_in.published_ids()
    stand_in.succeed(job["id"])
    ended = web.get(f"/v1/jobs/{job['id']}").json
    assert ended["stems"] == []
    told = ended["mixes"][0]
    assert (told["kind"], told["name"], told["format"]) == ("mix", "karaoke", "flac")
    assert (told["gains_db"], told["rest_db"]) == ({"vocals": None}, 0.0)
    assert told["url"] == f"/v1/jobs/{job['id']}/mixes/karaoke"
    answer = web.get(told["url"])
    assert (answer.status_code, len(answer.data)) == (200, told["size_bytes"])
    assert answer.headers["Content-Disposition"].endswith('"song - karaoke.flac"')


@pytest.mark.parametrize(
    ("mixes", "field"),
    [
        ("minus:drums", "mixes.0.gains_db"),
        ("vocals=minus:vocals", "mixes"),
        ("mixture=minus:vocals", "mixes"),
        ("a=minus:vocals,A=only:vocals", "mixes"),
        ("minus", "mixes.0"),
        ('[{"name": "a", "gains_db": {"vocals": 25}}]', "mixes.0.gains_db.vocals"),
        ('[{"name": "a", "gains_db": {"vocals": -61}}]', "mixes.0.gains_db.vocals"),
        ('[{"name": "a", "gains_db": {"vocals": true}}]', "mixes.0.gains_db.vocals"),
        ('[{"name": "a/b"}]', "mixes.0.name"),
        ('[{"name": "a", "gains_db": {"vocals": null}, "rest_db": null}]', "mixes.0"),
        ('[{"name": "a", "gain": 1}]', "mixes.0.gain"),
        ('[{"gains_db": {}}]', "mixes.0.name"),
        (json.dumps([{"name": f"m{n}"} for n in range(21)]), "mixes"),
    ],
)
def test_mixes_that_cannot_be_are_refused_at_submission(
    web: FlaskClient, stand_in: StandIn, mixes: str, field: str
) -> None:
    refused = submit(web, mixes=mixes)
    assert (refused.status_code, refused.json["code"]) == (422, "request_invalid")
    assert [error["field"] for error in refused.json["errors"]] == [field]
    assert stand_in.keys() == []


def test_a_stem_file_is_the_only_output_and_no_source_of_mixes(web: FlaskClient, stand_in: StandIn) -> None:
    stand_in.announce(FOUR)
    job = submit(web, engine="four", format="stem.mp4", bit_depth="24").json
    assert (job["format"], job["format_options"]) == ("stem.mp4", {"bit_depth": 24})
    # What will be there is told apart from what never will.
    assert web.get(f"/v1/jobs/{job['id']}/mixes/stems").status_code == 202
    assert web.get(f"/v1/jobs/{job['id']}/mixes/vocals").status_code == 404
    assert web.get(f"/v1/jobs/{job['id']}/stems/vocals").status_code == 404
    refused = mix(web, job["id"], "minus:vocals", format="stem.mp4")
    assert (refused.status_code, refused.json["code"]) == (422, "request_invalid")
    both = submit(web, engine="four", format="stem.mp4", mixes="minus:vocals")
    assert (both.status_code, both.json["code"]) == (422, "request_invalid")


def test_no_stems_and_no_mixes_are_refused(web: FlaskClient, stand_in: StandIn) -> None:
    refused = submit(web, stems="[]")
    assert (refused.status_code, refused.json["code"]) == (422, "request_invalid")
    assert stand_in.keys() == []
