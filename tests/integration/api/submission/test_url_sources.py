"""Mixtures named by URL: the API downloads them, within limits of time and size."""

from __future__ import annotations

import pytest

from shared.settings import Settings
from tests.fixtures.api import StandIn
from tests.fixtures.network.web_site import SONG, submit_source, web_with


def test_a_url_is_fetched_as_if_it_had_been_sent(settings: Settings, stand_in: StandIn, site: str) -> None:
    web = web_with(settings, url_sources=True, outgoing_to_loopback=True)
    job = submit_source(web, url=f"{site}/hop3")
    assert job.status_code == 202, job.text
    assert (job.json["source"]["filename"], job.json["source"]["size_bytes"]) == ("song.mp3", len(SONG))
    assert web.get(job.json["source"]["url"]).data == SONG
    assert len(stand_in.keys()) == 1


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/hop4", 422, "url_refused"),
        ("/away", 422, "url_refused"),
        ("/file", 422, "url_refused"),
        ("/missing", 422, "url_unreachable"),
        ("/short", 422, "url_unreachable"),
        ("/odd.mp3", 422, "url_unreachable"),
        ("/bomb", 422, "url_unreachable"),
        ("/endless", 413, "upload_too_large"),
        ("/page.mp3", 415, "not_audio"),
        ("/drip", 422, "url_unreachable"),
    ],
)
def test_a_fetch_is_bounded(
    settings: Settings, stand_in: StandIn, site: str, *, path: str, status: int, code: str
) -> None:
    web = web_with(
        settings, url_sources=True, outgoing_to_loopback=True, max_upload_bytes=1_000_000, url_source_seconds=1.0
    )
    refused = submit_source(web, url=site + path)
    assert (refused.status_code, refused.json["code"]) == (status, code), refused.text
    assert stand_in.keys() == []
    assert web.get("/v1/jobs").json["jobs"] == []
