"""The mix as it is set: as a file, and as an address."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, submit, wait_until_ended
from tests.browser.support.listening import stems_of
from tests.browser.support.songs import song_with_a_voice
from tests.fixtures.sounds.audio import decode, write_wav


def test_a_mix_is_saved_at_the_volumes_that_are_set(
    open_page: OpenPage, api: httpx2.Client, finished: dict[str, Any], tmp_path: Path
) -> None:
    stems = stems_of(api, finished, tmp_path)
    page = open_page(f"/jobs/{finished['id']}")
    page.get_by_label("Volume of vocals").fill("20")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this mix").click()
    assert download.value.suggested_filename == "Half a minute - vocals 20, accompaniment.wav"
    download.value.save_as(tmp_path / "mix.wav")
    mix = decode(tmp_path / "mix.wav", channels=2)[0]
    wanted = 0.2 * stems["vocals"] + stems["accompaniment"]
    assert mix.size == wanted.size
    # Half a step of 16 bits, and the dither's whole one.
    assert np.max(np.abs(mix - wanted)) < 1.6 / 32_768
    check_kept_mix(page, api, finished["id"])


def check_kept_mix(page: Page, api: httpx2.Client, made_from: str) -> None:
    """Have the server make the mix that is set, and see it listed; the two jobs lead to each other."""
    page.get_by_role("button", name="Keep on the server").click()
    expect(page).not_to_have_url(re.compile(made_from))
    expect(page.get_by_role("heading", name="Mixes")).to_be_visible(timeout=120_000)
    expect(page.get_by_role("cell", name="vocals -13.98 dB, accompaniment 0 dB")).to_be_visible()
    (mix,) = api.get(f"/v1{httpx2.URL(page.url).path}").json()["mixes"]
    assert (mix["gains_db"], mix["rest_db"]) == ({"vocals": -13.98, "accompaniment": 0.0}, None)
    page.get_by_role("link", name="an earlier job").click()
    expect(page).to_have_url(re.compile(made_from))
    expect(page.get_by_role("button", name="Make a stem file")).to_have_count(0)


def test_the_download_of_a_mix_of_many_stems_is_in_sight(
    open_page: OpenPage, api: httpx2.Client, tmp_path: Path
) -> None:
    song = write_wav(tmp_path / "song.wav", song_with_a_voice(5.0), subtype="PCM_16")
    gains = dict.fromkeys(("vocals", "drums", "bass", "other"), -3.25)
    mixes = json.dumps([{"name": "an-even-mix", "gains_db": gains}])
    job = wait_until_ended(api, submit(api, song, engine="band", mixes=mixes))
    page = open_page(f"/jobs/{job['id']}", screen=(1280, "light"))
    expect(page.get_by_role("cell", name="the song, vocals -3.25 dB, drums -3.25 dB")).to_be_visible()
    assert page.locator(".table-place").first.evaluate("(place) => place.scrollWidth <= place.clientWidth")


def test_the_jobs_of_a_chain_lead_to_each_other(open_page: OpenPage, api: httpx2.Client, song: Path) -> None:
    job_id = submit(api, song, then='[{"from": "vocals"}]')
    api.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    page = open_page(f"/jobs/{job_id}")
    page.get_by_role("link", name="the vocals").click()
    head = page.locator(".job-head")
    expect(head).to_contain_text("Half a minute - vocals.flac")
    expect(head).to_contain_text("Made from the vocals of an earlier job")
    expect(page.get_by_role("heading", name="Canceled")).to_be_visible()
    page.get_by_role("link", name="an earlier job").click()
    expect(head).to_contain_text("Continued with the vocals")
    expect(page).to_have_url(re.compile(job_id))


def test_a_mix_without_a_sound_is_not_saved(open_page: OpenPage, finished: dict[str, Any]) -> None:
    page = open_page(f"/jobs/{finished['id']}")
    save = page.get_by_role("button", name="Save this mix")
    page.get_by_role("button", name="Mute vocals").click()
    expect(save).to_be_enabled()
    page.get_by_role("button", name="Mute accompaniment").click()
    expect(save).to_be_disabled()


def test_an_address_brings_back_mix_loop_and_place(open_page: OpenPage, finished: dict[str, Any]) -> None:
    page = open_page(f"/jobs/{finished['id']}")
    page.get_by_label("Volume of vocals").fill("20")
    page.get_by_role("button", name="Mute accompaniment").click()
    page.get_by_role("slider", name="Position in the song").press("PageDown")
    for _ in range(2):
        page.get_by_role("slider", name="Position in the song").press("ArrowRight")
    page.get_by_role("button", name="Loop from here").click()
    expect(page).to_have_url(re.compile(r"#vocals=20&accompaniment=mute&loop=10-30&t=10$"))
    page.reload()
    check_setting(page)
    other = open_page(page.url.partition(str(httpx2.URL(page.url).netloc, "ascii"))[2])
    check_setting(other)


def check_setting(page: Page) -> None:
    expect(page.get_by_label("Volume of vocals")).to_have_value("20")
    expect(page.get_by_role("button", name="Mute accompaniment")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Mute vocals")).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("button", name=re.compile("Stop looping"))).to_contain_text(re.compile("0:10.0:30"))
    expect(page.locator(".clock-now")).to_have_text("0:10.0")
