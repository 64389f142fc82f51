"""A whole stack as `make run` starts it, and pages of a real browser that look at it as a person would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from shared.embedded.ports import find_free
from shared.embedded.private_files import load_or_make_credentials
from shared.embedded.seaweedfs import PORT_OFFSETS
from shared.embedded.valkey import valkey_url
from shared.settings import Settings
from tests.browser.songs import song_with_a_voice
from tests.fixtures.audio import write_wav

CHROMIUM = Path("/usr/bin/chromium")

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

LISTENING = Path(__file__).with_name("listening.js")


@dataclass
class Stack:
    """A stack of the tests' own, started as `make run` does, on free ports."""

    folder: Path
    port: int = field(default_factory=find_free)
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.settings |= {
            "API_PORT": str(self.port),
            "VALKEY_PORT": str(find_free()),
            "STORAGE_PORT": str(find_free(PORT_OFFSETS)),
            "STATE_FOLDER": str(self.folder),
            "SCRATCH_FOLDER": str(self.folder / "scratch"),
            "DEFAULT_ENGINE": "repetition",
            "WORKER_ENGINES": "repetition",
        }

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    def own_settings(self) -> Settings:
        """Return the settings of its programs, for tests that look or write past the API."""
        password = load_or_make_credentials(self.folder / "credentials.json").redis_password
        return Settings(redis_url=valkey_url(port=int(self.settings["VALKEY_PORT"]), password=password))

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        with (self.folder / "stack.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "shared.embedded.stack"],
                env={**os.environ, **self.settings},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout
        assert self.process.stdout.readline().startswith("ready"), (self.folder / "stack.log").read_text()

    def stop(self) -> None:
        """Ask it to end, and wait until all of it has."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=40)
            self.process = None


@pytest.fixture(scope="session")
def stack(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack that most tests share."""
    del chromium  # without a browser, nothing need be started
    shared = Stack(tmp_path_factory.mktemp("stack"))
    shared.start()
    yield shared
    shared.stop()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser; where apt could have installed it, its absence is a failure in CI."""
    if not CHROMIUM.exists():
        if os.environ.get("CI") and os.geteuid() == 0 and Path("/usr/bin/apt-get").exists():
            pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium")
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    return CHROMIUM


@pytest.fixture(scope="session")
def browser(chromium: Path) -> Iterator[Browser]:
    """One browser for all tests; each opens pages without memory of the others."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS])
        yield browser
        browser.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, stack: Stack) -> Iterator[OpenPage]:
    """Open pages, and hold against each at the end that it broke no policy, met no error and asked no other host."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_one(path: str = "/", *, base: str | None = None, width: int = 1440, **options: object) -> Page:
        base = base or stack.url
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        context.add_init_script(path=LISTENING)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("console", lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None)
        page.on("request", lambda r: _complain_of_other_host(r.url, base, complaints))
        page.goto(base + path)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


def _complain_of_other_host(url: str, base: str, complaints: list[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"blob", "data"} and parts.netloc != urlsplit(base).netloc:
        complaints.append(f"asked another host: {url}")


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song of half a minute: long enough to be recorded from on a busy machine."""
    return write_wav(tmp_path_factory.mktemp("song") / "Half a minute.wav", song_with_a_voice(30.0), subtype="PCM_16")


@pytest.fixture(scope="session")
def finished(api: httpx.Client, song: Path) -> dict[str, Any]:
    """The job of that song, done."""
    with song.open("rb") as file:
        job = api.post("/v1/jobs", files={"file": (song.name, file)}).json()
    return wait_until_ended(api, job["id"])


def wait_until_ended(api: httpx.Client, job_id: str) -> dict[str, Any]:
    """Return the job once it has ended."""
    deadline = time.monotonic() + 120
    while (job := api.get(f"/v1/jobs/{job_id}").json())["state"] in {"queued", "running"}:
        assert time.monotonic() < deadline, job
        time.sleep(0.2)
    return dict(job)


@pytest.fixture(scope="session")
def api(stack: Stack) -> Iterator[httpx.Client]:
    """The API behind the page."""
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        yield client
