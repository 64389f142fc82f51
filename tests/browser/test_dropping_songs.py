"""From a file on the desk to stems in the hand."""

from __future__ import annotations

import re
import zipfile
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, wait_until_ended
from tests.fault.support.deployment import wait_until
from tests.fixtures.sounds.audio import convert, decode


def choose(page: Page, *files: Path) -> None:
    page.get_by_label("Choose files").set_input_files([*files])


def watch_uploads(page: Page) -> list[str]:
    sent: list[str] = []
    page.on("request", lambda r: sent.append(r.url) if "/v1/uploads" in r.url else None)
    return sent


def test_a_chosen_song_is_followed_to_its_stems_which_can_be_kept(
    open_page: OpenPage, shared_audio: Path, tmp_path: Path
) -> None:
    page = open_page()
    choose(page, shared_audio / "unlabelled" / "singing_11s.mp3")
    expect(page.get_by_role("heading", name="singing_11s.mp3")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/jobs/[0-9a-f]{32}$"))
    expect(page.get_by_role("button", name="Play")).to_be_visible(timeout=120_000)
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("Download vocals as FLAC")).click()
    stem = tmp_path / download.value.suggested_filename
    download.value.save_as(stem)
    assert "vocals" in stem.name
    assert decode(stem, channels=2).shape[1] == pytest.approx(10.9 * 44_100, rel=0.02)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert sum(name.endswith(".flac") for name in archive.namelist()) == 2


def drop(page: Page, song: Path, *names: str) -> None:
    """Drag that many copies of a song over the page, see that it says so, and let go."""
    files = page.evaluate_handle(
        """([names, bytes]) => {
            const data = new DataTransfer();
            const content = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
            for (const name of names) data.items.add(new File([content], name, { type: "audio/wav" }));
            return data;
        }""",
        [names, b64encode(song.read_bytes()[:400_044]).decode()],
    )
    page.dispatch_event("body", "dragover", {"dataTransfer": files})
    expect(page.get_by_text("Drop to upload")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": files})
    expect(page.get_by_text("Drop to upload")).to_have_count(0)


@pytest.mark.parametrize("place", ["home", "a song"])
def test_a_song_dropped_anywhere_on_the_page_is_taken(
    open_page: OpenPage, finished: dict[str, Any], song: Path, place: str
) -> None:
    page = open_page("/" if place == "home" else f"/jobs/{finished['id']}")
    expect(page.locator(".job-row").first).to_be_visible()
    drop(page, song, f"Dropped on {place}.wav")
    expect(page.get_by_role("heading", name=f"Dropped on {place}.wav")).to_be_visible()


def test_many_songs_dropped_together_are_all_taken(open_page: OpenPage, song: Path) -> None:
    page = open_page()
    names = [f"Track {number} of an album.wav" for number in range(1, 5)]
    drop(page, song, *names)
    for name in names:
        expect(page.locator(".job-row", has_text=name)).to_be_visible()
    expect(page).to_have_url(re.compile(r"/$"))


def test_of_a_dropped_folder_the_songs_are_taken(open_page: OpenPage, song: Path, tmp_path: Path) -> None:
    folder = tmp_path / "album"
    (folder / "second disc").mkdir(parents=True)
    (folder / "@eaDir").mkdir()
    songs = ("10 late.wav", "2 early.wav", "second disc/deep.wav", "...Baby One.wav", "Take Five", "voice.qta")
    for name in (*songs, "cover.jpg", "._10 late.wav", "@eaDir/2 early.wav"):
        (folder / name).write_bytes(song.read_bytes()[:400_044])
    page = open_page()
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 700, "y": 300, "data": data})
    for name in songs:
        expect(page.locator(".job-row", has_text=name.rpartition("/")[2]).first).to_be_visible()
    expect(page.locator(".upload")).to_have_count(0)
    told = page.locator(".uploads").get_by_text("3 files left out")
    expect(told).to_contain_text("album/cover.jpg")
    expect(told).to_contain_text("album/@eaDir/2 early.wav")


def test_a_file_that_is_refused_on_its_way_says_why_beside_its_name(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    picture = tmp_path / "Picture.mp3"
    # Large, so that the answer comes long before the last byte is sent.
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40_000_000))
    choose(page, picture)
    row = page.locator(".upload", has_text="Picture.mp3")
    expect(row.get_by_role("alert")).to_contain_text("The file is a picture; send the song itself")
    expect(row.get_by_role("button", name="Try again")).to_have_count(0)


def test_an_upload_goes_on_by_itself_when_the_server_is_back(
    open_page: OpenPage, finished: dict[str, Any], song: Path
) -> None:
    del finished
    page = open_page()
    expect(page.locator(".job-row").first).to_be_visible()
    page.route(re.compile("/v1/uploads|/healthz"), lambda route: route.abort("connectionreset"))
    choose(page, song)
    expect(page.locator(".upload").get_by_role("alert")).to_contain_text("The server does not answer.")
    page.unroute(re.compile("/v1/uploads|/healthz"))
    page.unroute_all()
    expect(page.get_by_role("heading", name=song.name)).to_be_visible()


def test_a_file_over_the_limit_is_refused_without_an_upload(
    open_page: OpenPage, api: httpx2.Client, song: Path
) -> None:
    page = open_page()
    sent = watch_uploads(page)
    engines = api.get("/v1/engines").json() | {"max_upload_bytes": 1_000_000}
    page.route("**/v1/engines", lambda route: route.fulfill(json=engines))
    page.reload()
    expect(page.get_by_text("up to 1 MB")).to_be_visible()
    choose(page, song)
    expect(page.get_by_role("alert")).to_have_text("This file is too large (5.3 MB). The limit is 1 MB.")
    assert sent == []


@pytest.mark.parametrize("name", ["voice.qta", "take.ts", "take.mxf", "take.bwf", "take.rf64", "take.asf", "take"])
def test_a_song_of_any_name_is_taken(
    open_page: OpenPage, api: httpx2.Client, song: Path, tmp_path: Path, name: str
) -> None:
    page = open_page()
    named = tmp_path / name
    named.write_bytes(song.read_bytes()[:400_044])
    choose(page, named)
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    # The library shows only so many songs, and other tests look for theirs.
    expect(page).to_have_url(re.compile("/jobs/"))
    job = f"/v1/jobs/{page.url.rpartition('/')[2]}"
    api.post(f"{job}/cancel")
    wait_until(lambda: api.delete(job).is_success, 60, "the job to be deleted")


def test_files_that_are_no_songs_are_refused_and_an_empty_one_without_an_upload(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page()
    sent = watch_uploads(page)
    (tmp_path / "letter.md").write_text("Dear all,\n" * 1000)
    (tmp_path / "nothing.mp3").touch()
    choose(page, tmp_path / "nothing.mp3")
    expect(page.get_by_role("alert").filter(has_text="This file is empty.")).to_be_visible()
    assert sent == []
    choose(page, tmp_path / "letter.md")
    expect(page.get_by_role("alert").filter(has_text="The file is plain text")).to_be_visible()
    page.get_by_role("button", name="Dismiss letter.md").click()
    expect(page.get_by_text("letter.md")).to_have_count(0)


def test_a_file_of_words_is_refused_where_it_was_dropped(
    open_page: OpenPage, api: httpx2.Client, tmp_path: Path
) -> None:
    page = open_page()
    before = job_ids(api)
    fake = tmp_path / "lyrics.mp3"
    fake.write_text("O Tannenbaum, o Tannenbaum\n" * 100_000)
    choose(page, fake)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The file is plain text; send the song itself, as MP3, WAV, FLAC")
    assert job_ids(api) == before


def job_ids(api: httpx2.Client) -> list[str]:
    return [job["id"] for job in api.get("/v1/jobs").json()["jobs"]]


def test_a_file_that_is_no_audio_inside_ends_with_a_plain_sentence(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    fake = tmp_path / "notes.mp3"
    fake.write_bytes(b"no audio at all\0" * 4000)
    choose(page, fake)
    expect(page.get_by_role("heading", name="This song could not be separated")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("The file cannot be read as audio.")).to_be_visible()
    expect(page.get_by_text("audio_unreadable")).to_be_visible()


def test_twenty_seconds_first_and_then_the_whole_song_take_one_upload(
    open_page: OpenPage, api: httpx2.Client, song: Path
) -> None:
    page = open_page()
    sent = watch_uploads(page)
    page.get_by_label("Try 20 seconds first").check()
    choose(page, song)
    expect(page.get_by_text("You are listening to 20 s from 0:10.")).to_be_visible(timeout=120_000)
    excerpt_url = page.url
    page.get_by_role("button", name="Separate the whole song").click()
    expect(page).not_to_have_url(excerpt_url)
    whole = wait_until_ended(api, page.url.rpartition("/")[2])
    assert whole["excerpt"] is None
    assert whole["stems"][0]["duration_seconds"] == pytest.approx(30, abs=0.01)
    assert len(sent) == 1


def test_engine_format_and_excerpt_are_what_was_asked_for(
    open_page: OpenPage, api: httpx2.Client, song: Path, tmp_path: Path
) -> None:
    page = open_page()
    page.get_by_text("Engine and format").click()
    page.get_by_label("Format").select_option("mp3")
    page.get_by_label("A part").check()
    page.get_by_role("spinbutton", name="from").fill("2")
    page.get_by_role("spinbutton", name="for").fill("6")
    page.get_by_role("spinbutton", name="for").press("Tab")
    choose(page, convert(song, tmp_path / "Song.m4a"))
    expect(page.get_by_role("heading", name="Song.m4a")).to_be_visible()
    job = wait_until_ended(api, page.url.rpartition("/")[2])
    assert (job["format"], job["engine"]) == ("mp3", "repetition")
    assert job["excerpt"] == {"start_seconds": 2.0, "duration_seconds": 6.0}


def test_a_files_name_is_text_wherever_it_stands(open_page: OpenPage, finished: dict[str, Any], song: Path) -> None:
    del finished
    page = open_page()
    name = "<img src=x onerror=alert(1)>&amp;.wav"
    page.on("dialog", lambda dialog: pytest.fail(f"a file's name ran: {dialog.message}"))
    page.get_by_label("Choose files").set_input_files(
        {"name": name, "mimeType": "audio/wav", "buffer": song.read_bytes()}
    )
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.locator("img[src=x]")).to_have_count(0)
