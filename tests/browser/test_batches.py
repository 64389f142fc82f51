"""Batches as they stand, for whoever sent some."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SCREENS, CheckWithAxe, OpenPage, Screen, Stack, held
from tests.fixtures.sounds.audio import make_song, write_wav


def test_who_has_no_batches_is_not_told_of_them(
    open_page: OpenPage, api: httpx2.Client, finished: dict[str, Any]
) -> None:
    del finished
    assert api.get("/v1/batches").json()["batches"] == []
    page = open_page()
    expect(page.locator(".job-row").first).to_be_visible()
    expect(page.get_by_role("link", name="Batches")).to_have_count(0)


@pytest.fixture(scope="module")
def uploads(api: httpx2.Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A song, and what is none, in storage."""
    folder = tmp_path_factory.mktemp("tracks")
    (folder / "notes.mp3").write_bytes(b"no audio at all\0" * 4000)
    files = {"song": write_wav(folder / "song.wav", make_song(2.0)), "notes": folder / "notes.mp3"}
    return {name: upload(api, file) for name, file in files.items()}


def upload(api: httpx2.Client, file: Path) -> str:
    answer = api.post(
        "/v1/uploads",
        params={"filename": file.name},
        content=file.read_bytes(),
        headers={"Content-Type": "application/octet-stream"},
    )
    return str(answer.json()["upload_id"])


def send(api: httpx2.Client, uploads: dict[str, str], *, bad_lines: int, name: str) -> str:
    """Send a batch of two songs, a file that is none, and lines that say nothing; returns its id."""
    items: list[dict[str, Any]] = [
        {"track": f"song {n} of Friday", "source": {"upload_id": uploads["song"]}, "no_cache": True} for n in (1, 2)
    ]
    items += [{"track": "notes", "source": {"upload_id": uploads["notes"]}}]
    items += [{"track": "nothing at all"}] * bad_lines
    body = {"items": items, "name": name, "defaults": {"engine": "share"}}
    return str(api.post("/v1/batches", json=body).json()["id"])


@pytest.fixture(scope="module")
def ended(api: httpx2.Client, uploads: dict[str, str]) -> str:
    """A batch of 60 tracks that will have ended soon."""
    return send(api, uploads, bad_lines=57, name="Friday's <b>songs</b>")


def test_a_batch_is_followed_to_its_end_and_tells_which_tracks_failed(
    open_page: OpenPage, ended: str, tmp_path: Path
) -> None:
    page = open_page()
    page.get_by_role("link", name="Batches").click()
    page.get_by_role("link", name="Friday's <b>songs</b>").click()
    expect(page).to_have_url(f"{page.url.rpartition('/batches/')[0]}/batches/{ended}")
    expect(page.get_by_text("Ended · 60 of 60 tracks · 58 with errors")).to_be_visible(timeout=120_000)
    rows = page.locator(".items > li")
    expect(rows).to_have_count(50)
    page.get_by_role("article").get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(60)
    page.get_by_role("button", name="Failed 1").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("The file cannot be read as audio.")
    with page.expect_download() as download:
        page.get_by_role("button", name="Report as CSV").click()
    download.value.save_as(tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(newline="") as report:
        assert [row["state"] for row in csv.DictReader(report)] == ["succeeded"] * 2 + ["failed"] + ["invalid"] * 57
    rows.get_by_role("link").click()
    expect(page.get_by_role("heading", name="This song could not be separated")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="Try 1 track again")).to_be_visible()


def test_a_batch_is_canceled_and_what_was_is_tried_again(
    open_page: OpenPage, stack: Stack, api: httpx2.Client, uploads: dict[str, str]
) -> None:
    with held(stack, "worker.child"):
        page = open_page(f"/batches/{send(api, uploads, bad_lines=1, name='To be canceled')}")
        expect(page.get_by_text("Running · 1 of 4 tracks")).to_be_visible()
        page.get_by_role("button", name="Cancel", exact=True).click()
        expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    page.get_by_role("button", name="again").click()
    expect(page.get_by_text("Ended · 4 of 4 tracks · 2 with errors")).to_be_visible(timeout=120_000)


@SCREENS
def test_nothing_bars_the_way_to_a_batch(
    open_page: OpenPage, ended: str, check_with_axe: CheckWithAxe, screen: Screen
) -> None:
    for path in ("/batches", f"/batches/{ended}"):
        page = open_page(path, screen=screen, bypass_csp=True)
        expect(page.locator(".job-row").first).to_be_visible()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= screen[0]
        check_with_axe(page)


def test_an_address_of_no_batch_says_so(open_page: OpenPage) -> None:
    page = open_page("/batches/" + "0" * 32)
    expect(page.get_by_role("heading", name="There is no such batch")).to_be_visible()
