"""Whether everybody can use the page: by screen reader, on a phone, on a slow line, with a thousand songs."""

from __future__ import annotations

import gzip
import secrets
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from shared.jobs.store import JobStore
from tests.browser.conftest import OpenPage, Stack

WEB = Path(__file__).parents[2] / "api" / "web"

MAX_PAGE_BYTES = 60_000
MAX_TOTAL_BYTES = 120_000


@pytest.mark.parametrize("width", [360, 800, 1440])
def test_nothing_is_wider_than_the_screen(open_page: OpenPage, finished: dict[str, Any], width: int) -> None:
    for path in ("/", f"/jobs/{finished['id']}"):
        page = open_page(path, screen=(width, "light"))
        page.wait_for_timeout(500)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_the_page_weighs_less_than_60_kilobytes_and_120_with_slower_playback() -> None:
    static = WEB / "static"
    sizes = {file.name: len(gzip.compress(file.read_bytes())) for file in static.glob("page.*")}
    assert set(sizes) == {"page.js", "page.css"}
    assert sum(sizes.values()) < MAX_PAGE_BYTES
    later = {file.name: len(gzip.compress(file.read_bytes())) for file in (static / "stretcher").glob("*.*")}
    assert set(later) == {"stretcher.js", "stretcher.wasm"}
    assert sum((*sizes.values(), *later.values())) < MAX_TOTAL_BYTES


def test_who_wants_less_motion_gets_none(open_page: OpenPage) -> None:
    page = open_page(reduced_motion="reduce")
    durations = "() => [...document.querySelectorAll('*')].map((e) => getComputedStyle(e).transitionDuration)"
    assert set(page.evaluate(durations)) == {"0s"}


def test_in_a_readers_own_colours_what_is_pressed_differs(open_page: OpenPage, finished: dict[str, Any]) -> None:
    page = open_page(f"/jobs/{finished['id']}", forced_colors="active")
    background = "(button) => getComputedStyle(button).backgroundColor"
    for name in ("Solo vocals", "Mute vocals"):
        button = page.get_by_role("button", name=name)
        before = button.evaluate(background)
        button.click()
        page.wait_for_timeout(300)
        assert button.evaluate(background) != before
    stems, original = (page.get_by_role("button", name=name, exact=True) for name in ("Stems", "Original"))
    assert stems.evaluate(background) != original.evaluate(background)


def test_a_thousand_songs_are_listed_and_searched_at_once(
    open_page: OpenPage, stack: Stack, finished: dict[str, Any]
) -> None:
    del finished
    remember_songs(stack, 1000)
    page = open_page()
    expect(page.locator(".job-row").first).to_be_visible()
    assert page.locator(".job-row").count() <= 30
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".job-row")).to_have_count(60)
    page.get_by_label("Search the library").fill("archive 777")
    expect(page.locator(".job-row")).to_have_count(1)
    expect(page.locator(".job-row")).to_contain_text("Song number 777 of the archive.flac")


def remember_songs(stack: Stack, count: int) -> None:
    """Put ended jobs of long ago into the stack's records, as after a lost Redis."""
    store = JobStore(stack.own_settings())
    for number in range(count):
        source = {"key": "uploads/none", "filename": f"Song number {number} of the archive.flac", "size_bytes": 1}
        ended = time.time() - 3600 - number
        document = {
            "id": secrets.token_hex(16),
            "state": "canceled",
            "request": {"source": source, "engine": "repetition", "owner": "local", "priority": "bulk"},
            "created_at": ended,
            "started_at": None,
            "finished_at": ended,
            "outputs": [],
            "probed": None,
            "report": None,
            "error": None,
            "fence": 1,
            "attempt": 1,
            "attempt_errors": [],
        }
        assert store.restore(document)
