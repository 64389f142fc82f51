"""The mix as it is set: as a file, and as an address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.listening import stems_of
from tests.fixtures.audio import decode


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
