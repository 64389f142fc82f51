"""Slower, transposed, and from beat to beat: what is heard, and what the page shows of it."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import CheckWithAxe, OpenPage, submit, wait_until_ended
from tests.browser.support.listening import Samples, play, record
from tests.browser.support.songs import RATE_HZ
from tests.fixtures.sounds.audio import write_wav

CLICKS_APART = 0.5
CLICK_HZ = 1000


@pytest.fixture(scope="module")
def clicks(api: httpx2.Client, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A job of twelve seconds of clicks, short tones of 1 kHz, whose two stems cancel with the vocals at 20 %."""
    t = np.arange(12 * RATE_HZ) / RATE_HZ % CLICKS_APART
    click = 0.4 * np.sin(2 * np.pi * CLICK_HZ * t) * np.exp(-t / 0.01)
    file = write_wav(tmp_path_factory.mktemp("clicks") / "clicks.wav", np.stack((click, click)).astype(np.float32))
    return wait_until_ended(api, submit(api, file, engine="opposed"))


def choose(page: Page, label: str, value: str) -> None:
    page.get_by_role("combobox", name=label).select_option(value)


def times_of_clicks(heard: Samples) -> Samples:
    """Return when each click is loudest, in seconds."""
    window = RATE_HZ // 200
    energy = np.convolve(heard.astype(float) ** 2, np.ones(window), mode="same")
    peaks = np.flatnonzero(
        (energy[1:-1] >= energy[:-2]) & (energy[1:-1] > energy[2:]) & (energy[1:-1] > 0.2 * energy.max())
    )
    firsts = peaks[np.diff(peaks, prepend=-RATE_HZ) > RATE_HZ // 10]
    return (firsts / RATE_HZ).astype(np.float32)


def hear_clicks(page: Page, apart: float) -> Samples:
    """Return what sounds once its clicks are so far apart; what sounded last if they never are.

    On a busy machine the stretcher takes seconds to load, and there may be gaps.
    """
    for _ in range(6):
        heard, _at = record(page, 4.2)
        distances = np.diff(times_of_clicks(heard))
        if distances.size > 2 and np.max(np.abs(distances - apart)) < 0.015:
            break
    return heard


def pitch_of(heard: Samples) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(heard))) * RATE_HZ / heard.size)


def test_at_half_speed_clicks_come_twice_as_far_apart_at_their_pitch_and_the_stems_stay_in_step(
    open_page: OpenPage, clicks: dict[str, Any]
) -> None:
    # The loop has whole clicks, so that it is not heard, and a busy machine does not reach the end.
    page = open_page(f"/jobs/{clicks['id']}#loop=1-11&t=1", bypass_csp=True)
    play(page)
    whole = hear_clicks(page, CLICKS_APART)
    assert np.diff(times_of_clicks(whole)) == pytest.approx(CLICKS_APART, abs=0.015)
    choose(page, "Speed", "0.5")
    page.get_by_label("Volume of vocals").fill("60")
    half = hear_clicks(page, 2 * CLICKS_APART)
    assert np.diff(times_of_clicks(half)) == pytest.approx(2 * CLICKS_APART, abs=0.015)
    assert pitch_of(half) == pytest.approx(CLICK_HZ, rel=0.02)
    # Now the stems cancel. One sample apart, at this pitch, they would leave 14 % of either.
    page.get_by_label("Volume of vocals").fill("20")
    page.wait_for_timeout(1000)
    silence, _ = record(page, 2.2)
    assert np.max(np.abs(silence)) < 0.01 * np.max(np.abs(half))
    page.get_by_label("Volume of vocals").fill("60")
    choose(page, "Pitch", "6")
    page.wait_for_timeout(1000)
    high, _ = record(page, 2.2)
    assert pitch_of(high) == pytest.approx(CLICK_HZ * 2 ** (6 / 12), rel=0.02)


def test_under_the_strict_policy_only_who_asks_for_another_speed_loads_the_stretcher(
    open_page: OpenPage, finished: dict[str, Any]
) -> None:
    asked: list[str] = []
    page = open_page(f"/jobs/{finished['id']}")
    page.on("request", lambda request: asked.append(request.url))
    play(page)
    assert not any("stretcher" in url for url in asked)
    choose(page, "Speed", "0.75")
    expect(page).to_have_url(re.compile("#.*speed=75"))
    page.wait_for_function("() => heard.level() > 0.005")
    rate = rate_of_the_clock(page)
    # A busy machine looks at the clock late; the other speeds are far from it.
    assert rate == pytest.approx(0.75, abs=0.1)
    assert {url.rpartition("/")[2] for url in asked if "stretcher" in url} == {
        "stretcher.wasm",
        "stretcher.js",
    }
    page.keyboard.press(".")
    expect(page.get_by_role("combobox", name="Speed")).to_have_value("0.8")


def rate_of_the_clock(page: Page) -> float:
    """Return how fast the page's clock runs, by the clock of the sound."""
    look = """() => new Promise((resolve) => requestAnimationFrame(() => resolve([
        heard.source.context.currentTime, Number(document.querySelector(".clock-now").textContent.split(":")[1])])))"""
    first = page.evaluate(look)
    page.wait_for_timeout(4000)
    last = page.evaluate(look)
    return float((last[1] - first[1]) / (last[0] - first[0]))


def test_a_loop_is_kept_at_half_speed(open_page: OpenPage, clicks: dict[str, Any]) -> None:
    # From one click to the fifth: their distance stays the same only if the loop's start comes when its end has played.
    page = open_page(f"/jobs/{clicks['id']}#vocals=60&loop=5-7&t=5&speed=50", bypass_csp=True)
    play(page)
    heard = hear_clicks(page, 2 * CLICKS_APART)
    assert np.diff(times_of_clicks(heard)) == pytest.approx(2 * CLICKS_APART, abs=0.015)
    seconds = float(page.locator(".clock-now").inner_text().removeprefix("0:"))
    assert 5 <= seconds <= 7.1


@pytest.fixture
def page_with_beats(open_page: OpenPage, finished: dict[str, Any]) -> Page:
    """STAND-IN for a worker that finds beats: the server's answers with a tempo, a key, and a beat each 0.6 s added."""
    page = open_page(bypass_csp=True)
    url = f"/v1/jobs/{finished['id']}"

    def add_beats(route: Route) -> None:
        answer = route.fetch()
        job = answer.json() | {"beats": {"url": f"{url}/beats"}, "music": {"tempo_bpm": 100.0, "key": "A minor"}}
        route.fulfill(response=answer, json=job)

    page.route(f"**{url}", add_beats)
    # As of an excerpt from 10 s on.
    beats = {"start_seconds": 10.0, "beats": [10.3 + 0.6 * n for n in range(49)], "tempo_bpm": 100.0}
    page.route(f"**{url}/beats", lambda route: route.fulfill(json=beats))
    page.route("**/v1/jobs?*", lambda route: route.fulfill(json={"jobs": [], "next": None}))
    page.goto(page.url + f"jobs/{finished['id']}")
    return page


def test_loops_snap_to_the_beats_under_the_waveforms(page_with_beats: Page) -> None:
    page = page_with_beats
    expect(page.get_by_text("100 BPM · A minor")).to_be_visible()
    expect(page.locator(".beat-grid canvas")).to_have_count(3)
    page.get_by_label("Loops snap to beats").check()
    box = page.locator(".lane.wave").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.255, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.352, box["y"] + 20, steps=5)
    page.mouse.up()
    # At 7.65 s and 10.56 s; the beats next to them are at 7.5 s and 10.5 s.
    expect(page).to_have_url(re.compile("#loop=7.5-10.5"))
    choose(page, "Speed", "0.5")
    expect(page.get_by_text("50 BPM · A minor")).to_be_visible()


def test_axe_finds_nothing_wrong_with_practising_on_a_phone(
    page_with_beats: Page, check_with_axe: CheckWithAxe
) -> None:
    page = page_with_beats
    page.set_viewport_size({"width": 360, "height": 900})
    choose(page, "Pitch", "-2")
    check_with_axe(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
