"""What a page shows while jobs wait, run, end, and while the server has trouble."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import APIResponse, Route, expect

from tests.browser.conftest import OpenPage, Stack, held, held_in_the_middle, submit, wait_until_ended
from tests.fixtures.sounds.audio import convert


def test_a_running_job_survives_a_reload_and_never_steps_back(
    open_page: OpenPage, stack: Stack, api: httpx2.Client, song: Path
) -> None:
    with held_in_the_middle(stack, api, song) as job_id:
        page = open_page(f"/jobs/{job_id}")
        expect(page.get_by_role("heading", name="Separating")).to_be_visible()
        bar = page.get_by_role("progressbar", name="Progress of this song")
        before = float(bar.get_attribute("value") or 0)
        page.reload()
        expect(page.get_by_role("heading", name="Separating")).to_be_visible()
        assert float(bar.get_attribute("value") or 0) >= before > 0
    expect(page.get_by_role("button", name="Play")).to_be_visible(timeout=120_000)


def test_a_job_canceled_in_one_tab_is_canceled_in_the_other_and_can_be_tried_again(
    open_page: OpenPage, stack: Stack, api: httpx2.Client, finished: dict[str, Any], song: Path
) -> None:
    del finished
    with held(stack, "celery"):
        job_id = submit(api, song)
        one, other = open_page(f"/jobs/{job_id}"), open_page(f"/jobs/{job_id}")
        one.get_by_role("button", name="Cancel").click()
        for page in (one, other):
            expect(page.get_by_role("heading", name="Canceled")).to_be_visible()
        other.get_by_role("button", name="Try again").click()
        for page in (one, other):
            expect(page.get_by_role("heading", name="In the queue")).to_be_visible(timeout=30_000)
    for page in (one, other):
        expect(page.get_by_role("button", name="Play")).to_be_visible(timeout=120_000)


def test_another_engine_takes_the_song_apart_without_another_upload(
    open_page: OpenPage, api: httpx2.Client, song: Path
) -> None:
    sent = api.post(
        "/v1/uploads",
        params={"filename": song.name},
        content=song.read_bytes(),
        headers={"Content-Type": "application/octet-stream"},
    )
    body = {"source": {"upload_id": sent.json()["upload_id"]}, "engine": "share", "format": "mp3"}
    one = wait_until_ended(api, api.post("/v1/jobs", json=body).json()["id"])
    page = open_page(f"/jobs/{one['id']}")
    page.get_by_role("button", name="Stand-in for a band").click()
    expect(page).not_to_have_url(re.compile(one["id"]))
    other = wait_until_ended(api, page.url.rpartition("/")[2])
    assert (other["engine"], other["format"]) == ("band", "mp3")
    assert other["source"]["upload_id"] == one["source"]["upload_id"]


def test_the_audio_stream_of_a_film_can_be_chosen(
    open_page: OpenPage, api: httpx2.Client, song: Path, tmp_path: Path
) -> None:
    film = convert(song, tmp_path / "two.mka", "-map", "0:a", "-map", "0:a", "-t", "3", "-c:a", "flac")
    page = open_page()
    page.get_by_text("Engine and format").click()
    page.get_by_text("More options").click()
    page.get_by_label("Audio stream").fill("2")
    page.get_by_label("Audio stream").press("Tab")
    expect(page.get_by_text("audio stream 2")).to_be_visible()
    page.get_by_label("Choose files").set_input_files(film)
    expect(page).to_have_url(re.compile("/jobs/"))
    assert wait_until_ended(api, page.url.rpartition("/")[2])["state"] == "succeeded"
    expect(page.get_by_text("The file has 2 audio streams; stream 2 was used")).to_be_visible()


def test_a_list_that_was_read_before_a_song_was_sent_does_not_hide_it(
    open_page: OpenPage, stack: Stack, finished: dict[str, Any], song: Path
) -> None:
    page = open_page(f"/jobs/{finished['id']}")
    late: list[tuple[Route, APIResponse]] = []
    page.route("**/v1/jobs?limit=*", lambda route: late.append((route, route.fetch())))
    with held(stack, "worker.child"):
        page.goto(page.url.partition("/jobs")[0])
        page.get_by_label("Choose files").set_input_files(song)
        expect(page).to_have_url(re.compile("/jobs/"))
        row = page.locator(f"a[href='/jobs/{page.url.rpartition('/')[2]}']")
        expect(row).to_be_visible()
        for route, answer in late:
            route.fulfill(response=answer)
        expect(page.locator(f"a[href='/jobs/{finished['id']}']")).to_be_visible()
        assert row.count() == 1


def test_a_deleted_job_is_gone_from_the_library(open_page: OpenPage, api: httpx2.Client, song: Path) -> None:
    job_id = submit(api, song)
    wait_until_ended(api, job_id)
    page = open_page(f"/jobs/{job_id}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete song and stems").click()
    expect(page.get_by_role("heading", name="Separate a song")).to_be_visible()
    expect(page.locator(f"a[href='/jobs/{job_id}']")).to_have_count(0)
    assert api.get(f"/v1/jobs/{job_id}").status_code == 404


def test_a_page_that_slept_is_up_to_date_when_it_wakes(
    open_page: OpenPage, stack: Stack, api: httpx2.Client, song: Path
) -> None:
    with held_in_the_middle(stack, api, song) as job_id:
        page = open_page(f"/jobs/{job_id}")
        expect(page.get_by_role("heading", name="Separating")).to_be_visible()
        devtools = page.context.new_cdp_session(page)
        devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    wait_until_ended(api, job_id)
    devtools.send("Page.setWebLifecycleState", {"state": "active"})
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_an_address_of_no_job_says_so(open_page: OpenPage) -> None:
    page = open_page("/jobs/" + "0" * 32)
    expect(page.get_by_role("heading", name="There is no such song")).to_be_visible()


def test_an_upload_while_the_storage_is_away_says_so_and_can_be_repeated(
    open_page: OpenPage, stack: Stack, finished: dict[str, Any], song: Path
) -> None:
    del finished
    page = open_page()
    with held(stack, "weed"):
        page.get_by_label("Choose files").set_input_files(song)
        expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator(".job-row", has_text=song.name).first).to_be_visible()


def test_a_page_goes_on_by_itself_after_the_server_was_restarted(
    open_page: OpenPage, stack: Stack, api: httpx2.Client, song: Path
) -> None:
    with held(stack, "worker.child"):
        # It cannot end before the server does, so the page has something to ask about.
        job_id = submit(api, song)
        page = open_page(f"/jobs/{job_id}")
        expect(page.get_by_role("heading", name=song.name)).to_be_visible()
        stack.stop()
        expect(page.get_by_text("The server does not answer.")).to_be_visible(timeout=20_000)
    stack.start()
    expect(page.get_by_text("The server does not answer.")).to_have_count(0, timeout=20_000)
    expect(page.get_by_role("button", name="Play")).to_be_visible(timeout=120_000)
    expect(page.locator(f"a[href='/jobs/{job_id}']")).to_be_visible()
