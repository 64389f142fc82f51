"""A whole stack as `make run` starts it, and pages of a real browser that look at it as a person would."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from deploy.local.private_files import load_or_make_credentials
from deploy.local.servers.seaweedfs import PORT_OFFSETS
from deploy.local.servers.valkey import valkey_url
from shared.settings import Settings
from tests.browser.support.songs import song_with_a_voice
from tests.fixtures.loops import prepared
from tests.fixtures.ports import find_free
from tests.fixtures.sounds.audio import write_wav

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

# A phone and a desk, by day and by night: width in pixels, and the colours asked for.
Screen = tuple[int, Literal["light", "dark"]]
SCREENS = pytest.mark.parametrize("screen", [(360, "light"), (360, "dark"), (1440, "light"), (1440, "dark")])

SMALL: Screen = (600, "light")
"""For tests that only listen: drawing takes more of a processor than playing."""

PAGE_SOURCE = Path(__file__).parents[2] / "api" / "web" / "source"
AXE = PAGE_SOURCE / "node_modules" / "axe-core" / "axe.min.js"

EXTRA_ENGINES = (
    "tests.browser.support.band_engine",
    "tests.browser.support.opposed_engine",
    "tests.fixtures.stand_ins.engines",
    "tests.fault.support.slow_engine",
)

# By default 5 s, in which a busy machine may not even have drawn the page.
expect.set_options(timeout=60_000)

LISTENING = Path(__file__).with_name("support") / "listening.js"


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
            # What was set up once for this machine serves every stack.
            "MODEL_FOLDER": str(Settings().model_folder.resolve()),
            "DEFAULT_ENGINE": "repetition",
            "WORKER_ENGINES": "repetition,band,opposed,share,slow",
            "EXTRA_ENGINES": ",".join(EXTRA_ENGINES),
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
        prepared()
        with (self.folder / "stack.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local.stack"],
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
def locked_stack(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose every call needs a key."""
    del chromium
    locked = Stack(tmp_path_factory.mktemp("locked"))
    locked.settings["API_KEYS_REQUIRED"] = "true"
    locked.start()
    yield locked
    locked.stop()


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

    def open_one(
        path: str = "/", *, base: str = stack.url, screen: Screen = (1440, "light"), **options: object
    ) -> Page:
        view = {"viewport": {"width": screen[0], "height": 900}, "color_scheme": screen[1]}
        context = browser.new_context(**view, **options)  # type: ignore[arg-type]
        contexts.append(context)
        context.add_init_script(path=LISTENING)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("console", lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None)
        page.on("request", lambda r: _complain_of_other_host(r.url, base, complaints))
        page.goto(base + path)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


CheckWithAxe = Callable[[Page], None]


@pytest.fixture(scope="session")
def check_with_axe() -> CheckWithAxe:
    """Fail with all that axe finds wrong in a page; where npm could have installed axe, its absence fails in CI."""
    if not AXE.exists():
        if os.environ.get("CI") and shutil.which("npm"):
            pytest.fail(f"{AXE} is missing: npm ci --prefix {PAGE_SOURCE}")
        pytest.skip(f"{AXE} is missing: npm ci --prefix {PAGE_SOURCE}")
    axe = AXE.read_text(encoding="utf-8")

    def check(page: Page) -> None:
        # What fades in or out has other colours on its way.
        page.wait_for_function("() => document.getAnimations().every((a) => a.playState === 'finished')")
        page.evaluate(axe)
        violations = page.evaluate("() => axe.run().then((found) => found.violations)")
        assert [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in violations] == []

    return check


def _complain_of_other_host(url: str, base: str, complaints: list[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"blob", "data"} and parts.netloc != urlsplit(base).netloc:
        complaints.append(f"asked another host: {url}")


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song of half a minute: long enough to be recorded from on a busy machine."""
    return write_wav(tmp_path_factory.mktemp("song") / "Half a minute.wav", song_with_a_voice(30.0), subtype="PCM_16")


@pytest.fixture(scope="session")
def finished(api: httpx2.Client, song: Path) -> dict[str, Any]:
    """The job of that song, done."""
    return wait_until_ended(api, submit(api, song))


def wait_until_ended(api: httpx2.Client, job_id: str) -> dict[str, Any]:
    """Return the job once it has ended. On a busy machine the API may answer 503 now and then, and a song take minutes.

    So the job may show no change for four minutes.
    """
    shown, deadline = None, time.monotonic() + 240
    while True:
        answer = api.get(f"/v1/jobs/{job_id}")
        if answer.status_code == 200:
            job = dict(answer.json())
            if job["state"] not in {"queued", "running"}:
                return job
            if (now := [job["state"], job["stage"], job["progress"]]) != shown:
                shown, deadline = now, time.monotonic() + 240
        assert answer.status_code in {200, 503}, answer.text
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)


@pytest.fixture(scope="session")
def api(stack: Stack) -> Iterator[httpx2.Client]:
    """The API behind the page."""
    with httpx2.Client(base_url=stack.url, timeout=30) as client:
        yield client


def submit(api: httpx2.Client, song: Path, **fields: str) -> str:
    """Send a song, to be separated anew even if it was before; returns its job's id."""
    with song.open("rb") as file:
        return str(
            api.post("/v1/jobs", files={"file": (song.name, file)}, data={"no_cache": "true"} | fields).json()["id"]
        )


@contextmanager
def held(stack: Stack, part_of_command: str) -> Iterator[None]:
    """Stop a part of the stack in its tracks; it goes on when the block ends."""
    assert stack.process
    children = psutil.Process(stack.process.pid).children(recursive=True)
    chosen = [child for child in children if part_of_command in " ".join(child.cmdline())]
    assert chosen
    for process in chosen:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in chosen:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


@contextmanager
def held_in_the_middle(stack: Stack, api: httpx2.Client, song: Path) -> Iterator[str]:
    """Send a song and stop its separation, which takes some seconds, once it has begun; yields the job's id."""
    job_id = submit(api, song, engine="slow", parameters='{"seconds": 6}')
    while (job := api.get(f"/v1/jobs/{job_id}").json())["stage"] != "separate":
        assert job["state"] in {"queued", "running"}, job
        time.sleep(0.02)
    with held(stack, "worker.child"):
        yield job_id
