"""The page below a path of its host, behind a real proxy: it loads, goes from view to view and follows a job there."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.fixtures.api import StandIn, working
from tests.integration.test_proxy_path import PATHS, Site, site

__all__ = ["site"]


@pytest.mark.parametrize("kind", PATHS)
def test_the_page_stays_below_its_path(browser: Browser, site: Site, kind: str, stand_in: StandIn) -> None:
    page = browser.new_page()
    asked: list[tuple[str, int]] = []
    page.on("response", lambda answer: asked.append((urlsplit(answer.url).path, answer.status)))
    with working(stand_in):
        page.goto(f"{site.url}{PATHS[kind]}/")
        page.get_by_label("Choose files").set_input_files(
            {"name": "song.mp3", "mimeType": "audio/mpeg", "buffer": b"a\0song " * 1000}
        )
        expect(page.get_by_role("heading", name="song.mp3")).to_be_visible()
        expect(page.get_by_role("button", name="Download all")).to_be_visible(timeout=120_000)
        address = urlsplit(page.url).path
        assert address.startswith(f"{PATHS[kind]}/jobs/")
        page.reload()
        expect(page.get_by_role("heading", name="song.mp3")).to_be_visible()
        page.get_by_role("link", name="New song").click()
        expect(page.get_by_role("heading", name="Separate a song")).to_be_visible()
        assert urlsplit(page.url).path == f"{PATHS[kind]}/"
    page.goto(f"{site.url}{PATHS[kind]}/docs")
    expect(page.get_by_text("Submit a job")).to_be_visible(timeout=30_000)
    assert [found for found in asked if not found[0].startswith(PATHS[kind]) or found[1] >= 400] == []
    page.close()
