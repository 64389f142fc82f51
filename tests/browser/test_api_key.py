"""A server that wants a key: asked for once, and good for all that the page then does."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from shared.api_keys import ApiKeys
from tests.browser.conftest import SCREENS, CheckWithAxe, OpenPage, Screen, Stack


def test_the_key_is_asked_for_once_and_opens_everything(open_page: OpenPage, locked_stack: Stack, song: Path) -> None:
    _, key = ApiKeys(locked_stack.own_settings()).create(owner="local", scopes=["submit", "read"])
    page = open_page(base=locked_stack.url)
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    dialog = page.get_by_role("dialog", name="An API key is required")
    dialog.get_by_label("API key").fill("sq_wrong")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_contain_text("The key was not accepted.")
    dialog.get_by_label("API key").fill(key)
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_be_hidden()
    page.get_by_label("Choose files").set_input_files(song)
    page.get_by_role("button", name="Play").click(timeout=120_000)
    page.wait_for_function("() => heard.level() > 0.005")
    page.get_by_role("button", name="Original").click()
    page.wait_for_timeout(1000)
    page.wait_for_function("() => heard.level() > 0.005")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all").click()
    assert download.value.suggested_filename == "Half a minute - stems.zip"
    page.reload()
    expect(page.get_by_role("heading", name=song.name)).to_be_visible()
    assert not any(key in address for address in addresses)


@SCREENS
def test_nothing_bars_the_way_past_the_question(
    open_page: OpenPage, locked_stack: Stack, check_with_axe: CheckWithAxe, screen: Screen
) -> None:
    page = open_page(base=locked_stack.url, screen=screen, bypass_csp=True)
    expect(page.get_by_role("dialog", name="An API key is required")).to_be_visible()
    check_with_axe(page)
