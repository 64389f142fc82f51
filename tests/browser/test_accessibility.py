"""What axe finds in each state of the page: it must be nothing. The question for a key has its own file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import (
    SCREENS,
    CheckWithAxe,
    OpenPage,
    Screen,
    Stack,
    held_in_the_middle,
    submit,
    wait_until_ended,
)


@SCREENS
def test_nothing_bars_the_way_to_a_job(
    open_page: OpenPage, finished: dict[str, Any], check_with_axe: CheckWithAxe, screen: Screen
) -> None:
    del finished
    page = open_page(screen=screen, bypass_csp=True)
    page.get_by_text("Engine and format").click()
    page.get_by_text("More options").click()
    page.get_by_label("A part").check()
    text = {"name": "a.mp3", "mimeType": "audio/mpeg", "buffer": b"O Tannenbaum\n" * 1000}
    page.get_by_label("Choose files").set_input_files(text)
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator(".job-row").first).to_be_visible()
    check_with_axe(page)
    page.get_by_label("Search the library").fill("nothing is called this")
    expect(page.get_by_text("No song matches.")).to_be_visible()
    check_with_axe(page)


@SCREENS
def test_nothing_bars_the_way_into_a_song(
    open_page: OpenPage, finished: dict[str, Any], check_with_axe: CheckWithAxe, screen: Screen
) -> None:
    page = open_page(f"/jobs/{finished['id']}", screen=screen, bypass_csp=True)
    page.get_by_role("button", name="Solo vocals").click()
    page.get_by_role("button", name="Mute vocals").click()
    page.get_by_role("button", name="Loop to here").click()
    page.get_by_text("Technical details").click()
    page.get_by_role("button", name="Delete").click()
    check_with_axe(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    check_with_axe(page)


@SCREENS
def test_nothing_bars_the_way_after_a_bad_end(
    open_page: OpenPage, ended_badly: dict[str, str], check_with_axe: CheckWithAxe, screen: Screen
) -> None:
    for job_id, words in ended_badly.items():
        page = open_page(f"/jobs/{job_id}", screen=screen, bypass_csp=True)
        expect(page.get_by_role("heading", name=words)).to_be_visible()
        check_with_axe(page)


@SCREENS
def test_nothing_bars_the_way_while_a_job_is_worked_on(
    open_page: OpenPage, running: str, check_with_axe: CheckWithAxe, screen: Screen
) -> None:
    page = open_page(f"/jobs/{running}", screen=screen, bypass_csp=True)
    expect(page.get_by_role("heading", name="Separating")).to_be_visible()
    check_with_axe(page)


@pytest.fixture(scope="module")
def ended_badly(api: httpx2.Client, song: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Jobs that failed and were canceled, with what the page says of them."""
    notes = tmp_path_factory.mktemp("bad") / "notes.mp3"
    notes.write_bytes(b"no audio at all\0" * 4000)
    failed, canceled = submit(api, notes), submit(api, song)
    api.post(f"/v1/jobs/{canceled}/cancel")
    for job_id in (failed, canceled):
        wait_until_ended(api, job_id)
    return {failed: "This song could not be separated", canceled: "Canceled"}


@pytest.fixture(scope="module")
def running(stack: Stack, api: httpx2.Client, song: Path) -> Iterator[str]:
    """A job that is being worked on for as long as the tests look at it."""
    with held_in_the_middle(stack, api, song) as job_id:
        yield job_id
