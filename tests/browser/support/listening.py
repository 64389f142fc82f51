"""What sounds in a page, held against the files that it should come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, expect
from scipy.signal import correlate

from tests.browser.support.songs import RATE_HZ
from tests.fixtures.sounds.audio import decode

Samples = NDArray[np.float32]


def stems_of(api: httpx2.Client, job: dict[str, Any], folder: Path) -> dict[str, Samples]:
    """Return the first channel of each stem, and of the mixture as `mixture`."""
    links = {stem["name"]: stem["url"] for stem in job["stems"]} | {"mixture": job["source"]["url"]}
    found = {}
    for name, url in links.items():
        file = folder / name
        file.write_bytes(api.get(url).content)
        found[name] = decode(file, channels=2)[0]
    return found


def play(page: Page) -> None:
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    # As a function: a string is evaluated, which the page's policy forbids.
    page.wait_for_function("() => heard.level() > 0.005")


def record(page: Page, seconds: float = 1.5) -> tuple[Samples, float]:
    """Return what sounded from now on, and when it began by the clock of the sound."""
    heard = page.evaluate("(seconds) => heard.record(seconds)", seconds)
    return np.array(heard["samples"], dtype=np.float32), heard["at"]


def rest_db_of(page: Page, stem: Samples) -> float:
    """Return how far what sounds is from the stem, in dB, at its best of three looks.

    A busy machine may leave a gap in one of them; what is out of step is so in all.
    """
    looks = []
    while len(looks) < 3 and min(looks, default=0.0) > -50:
        looks.append(find(record(page)[0], stem)[1])
    return min(looks)


def samples_apart(page: Page, sounds: dict[str, Samples], rate_hz: int = RATE_HZ) -> int:
    """Return how many samples what two switches let sound is apart in the song, at its best of three looks.

    A busy machine may halt all of it between the two recordings; what is out of step is so at each look.
    """
    looks: list[int] = []
    while len(looks) < 3 and 0 not in looks:
        places = []
        for switch, song in sounds.items():
            page.get_by_role("button", name=switch, exact=True).click()
            page.wait_for_timeout(500)
            heard, at = record(page)
            places.append(round((find(heard, song, rate_hz)[0] - at) * rate_hz))
        looks.append(places[0] - places[1])
    return min(looks, key=abs)


def find(heard: Samples, stem: Samples, rate_hz: int = RATE_HZ) -> tuple[float, float]:
    """Return where in the stem the sound is, in seconds, and how far it is from it there, in dB."""
    # Where the difference is least; where the product is most, another place may only be louder.
    energy = np.append(0, np.cumsum(stem.astype(float) ** 2))
    window = energy[heard.size :] - energy[: -heard.size]
    place = int(np.argmin(window - 2 * correlate(stem, heard, mode="valid", method="fft")))
    rest = heard - stem[place : place + heard.size]
    return place / rate_hz, float(10 * np.log10(np.sum(rest**2) / np.sum(heard**2) + 1e-20))
