"""What is heard, held against the files that the stems came in."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SMALL, OpenPage, submit, wait_until_ended
from tests.browser.support.listening import play, rest_db_of, samples_apart, stems_of
from tests.fixtures.sounds.audio import convert


@pytest.mark.parametrize("form", ["flac", "wav", "mp3", "m4a", "ogg", "opus"])
def test_stems_sound_together_to_the_sample_and_alone_when_soloed(
    open_page: OpenPage, api: httpx2.Client, song: Path, tmp_path: Path, form: str
) -> None:
    with song.open("rb") as file:
        job = api.post("/v1/jobs", files={"file": (song.name, file)}, data={"format": form}).json()
    job = wait_until_ended(api, job["id"])
    stems = stems_of(api, job, tmp_path)
    vocals, accompaniment = stems["vocals"], stems["accompaniment"]
    # Else stems out of step would go unheard.
    assert min(np.std(vocals), np.std(accompaniment)) > 0.02
    page = open_page(f"/jobs/{job['id']}", screen=SMALL, bypass_csp=True)
    page.get_by_role("button", name="Zoom in").click()
    play(page)
    # One sample apart they would not cancel: at 10 ms nothing would.
    assert rest_db_of(page, vocals + accompaniment) < -50
    page.get_by_role("button", name="Solo vocals").click()
    page.wait_for_timeout(200)
    assert rest_db_of(page, vocals) < -50


def test_a_muted_stem_is_silent_and_a_turned_down_one_quieter(
    open_page: OpenPage, api: httpx2.Client, finished: dict[str, Any], tmp_path: Path
) -> None:
    stems = stems_of(api, finished, tmp_path)
    page = open_page(f"/jobs/{finished['id']}", screen=SMALL, bypass_csp=True)
    play(page)
    page.get_by_role("button", name="Mute vocals").click()
    page.get_by_label("Volume of accompaniment").fill("50")
    page.wait_for_timeout(300)
    assert rest_db_of(page, 0.5 * stems["accompaniment"]) < -50
    page.get_by_role("button", name="Mute accompaniment").click()
    page.wait_for_timeout(300)
    assert page.evaluate("heard.level()") < 1e-4


ORIGINALS = {
    "flac": ("flac", "-ar", "48000"),
    "mp3": ("mp3", "-q:a", "4"),
    "mp3 whose encoder tells no delay": ("mp3", "-write_xing", "0"),
    "ogg": ("ogg",),
    "m4a": ("m4a",),
}


@pytest.mark.parametrize("kind", ORIGINALS)
def test_the_original_is_heard_where_the_stems_are_to_the_sample(
    open_page: OpenPage, api: httpx2.Client, song: Path, tmp_path: Path, kind: str
) -> None:
    ending, *options = ORIGINALS[kind]
    original = convert(song, tmp_path / f"original.{ending}", *options)
    # Of one stem alone the song cannot be put together, so its own file is played.
    job = wait_until_ended(api, submit(api, original, engine="share", stems="vocals"))
    stems, rate_hz = stems_of(api, job, tmp_path), job["stems"][0]["sample_rate_hz"]
    page = open_page(f"/jobs/{job['id']}", screen=SMALL, bypass_csp=True)
    play(page)
    sounds = {"Original": stems["mixture"], "Stems": stems["vocals"]}
    assert samples_apart(page, sounds, rate_hz) == 0


def test_a_click_seeks_and_a_drag_repeats_what_it_spans(open_page: OpenPage, finished: dict[str, Any]) -> None:
    page = open_page(f"/jobs/{finished['id']}")
    lane = page.locator(".lane.wave").first
    box = lane.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    expect(page.locator(".clock-now")).to_have_text(re.compile(r"0:1[45]\.\d"))
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.35, box["y"] + 20, steps=5)
    page.mouse.up()
    expect(page.get_by_role("button", name=re.compile("Stop looping"))).to_contain_text(re.compile("0:07.0:10"))
    play(page)
    places = []
    for _ in range(25):
        page.wait_for_timeout(200)
        places.append(float(page.locator(".clock-now").inner_text().removeprefix("0:")))
    assert 7.4 <= min(places) <= max(places) <= 10.6
    assert any(later < earlier for earlier, later in pairwise(places)), places


def test_the_keyboard_plays_seeks_and_zooms(open_page: OpenPage, finished: dict[str, Any]) -> None:
    page = open_page(f"/jobs/{finished['id']}")
    slider = page.get_by_role("slider", name="Position in the song")
    slider.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "5 seconds of 30 seconds")
    slider.press("Home")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.wait_for_function("() => heard.level() > 0.005")
    page.keyboard.press("1")
    expect(page.get_by_role("button", name="Solo vocals")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.keyboard.press("+")
    expect(page.get_by_role("button", name="Zoom out")).to_be_enabled()


def test_the_space_bar_plays_after_a_button_or_a_fader_was_clicked(
    open_page: OpenPage, finished: dict[str, Any]
) -> None:
    page = open_page(f"/jobs/{finished['id']}")
    solo = page.get_by_role("button", name="Solo vocals")
    solo.click()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(solo).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Volume of vocals").click()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.keyboard.press("Shift+Digit2")
    expect(page.get_by_role("button", name="Mute accompaniment")).to_have_attribute("aria-pressed", "true")
    # Who walks to a button by keyboard presses it.
    solo.focus()
    page.keyboard.press("Space")
    expect(solo).to_have_attribute("aria-pressed", "false")


def test_an_mp3_sounds_before_all_of_it_was_read_and_is_in_step_after_a_leap(
    open_page: OpenPage, api: httpx2.Client, finished: dict[str, Any], song: Path, tmp_path: Path
) -> None:
    del finished
    with song.open("rb") as file:
        job = api.post("/v1/jobs", files={"file": (song.name, file)}, data={"format": "mp3"}).json()
    job = wait_until_ended(api, job["id"])
    stems = stems_of(api, job, tmp_path)
    page = open_page(f"/jobs/{job['id']}", screen=SMALL, bypass_csp=True)
    read: list[int] = []
    page.on("request", lambda r: read.append(last_byte(r.headers)) if "/stems/vocals" in r.url else None)
    play(page)
    size = next(stem["size_bytes"] for stem in job["stems"] if stem["name"] == "vocals")
    assert 0 < max(read) < size - 1
    slider = page.get_by_role("slider", name="Position in the song")
    slider.press("End")
    for _ in range(2):
        slider.press("ArrowLeft")
    page.wait_for_function("() => heard.level() > 0.005")
    assert rest_db_of(page, stems["vocals"] + stems["accompaniment"]) < -50


def last_byte(headers: dict[str, str]) -> int:
    return int(headers["range"].rpartition("-")[2])


def test_the_original_is_the_sum_of_the_stems_whatever_its_format(
    open_page: OpenPage, api: httpx2.Client, song: Path, tmp_path: Path
) -> None:
    job = wait_until_ended(api, submit(api, convert(song, tmp_path / "odd.wma")))
    stems = stems_of(api, job, tmp_path)
    asked: list[str] = []
    page = open_page(f"/jobs/{job['id']}", screen=SMALL, bypass_csp=True)
    page.on("request", lambda request: asked.append(request.url))
    expect(page.get_by_text("Played together, the stems add up to the song")).to_be_visible()
    play(page)
    for stem in ("vocals", "accompaniment"):
        page.get_by_role("button", name=f"Mute {stem}").click()
    page.wait_for_function("() => heard.level() < 0.0005")
    page.get_by_role("button", name="Original").click()
    expect(page.get_by_text("All stems together: they add up to the song.")).to_be_visible()
    page.wait_for_function("() => heard.level() > 0.005")
    assert rest_db_of(page, stems["vocals"] + stems["accompaniment"]) < -50
    assert not any("/source" in url for url in asked)
    page.get_by_role("button", name="Stems", exact=True).click()
    page.wait_for_function("() => heard.level() < 0.0005")


def test_an_original_that_the_browser_cannot_play_is_said_to_be_so(
    open_page: OpenPage, api: httpx2.Client, song: Path, tmp_path: Path
) -> None:
    job_id = submit(api, convert(song, tmp_path / "odd.wma"), stems="vocals")
    wait_until_ended(api, job_id)
    page = open_page(f"/jobs/{job_id}")
    play(page)
    page.get_by_role("button", name="Original").click()
    expect(page.get_by_text("This browser cannot play the original's format.")).to_be_visible()
    page.wait_for_function("() => heard.level() > 0.005")
    expect(page.get_by_text("of music in")).to_be_visible()
    expect(page.get_by_text("Played together, the stems add up to the song")).to_have_count(0)
