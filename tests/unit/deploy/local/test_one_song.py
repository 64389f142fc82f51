from __future__ import annotations

import pytest

from deploy.local.one_song import client_command


def test_what_make_was_given_reaches_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"SONG": "-odd name.mkv", "ENGINE": "unet", "FORMAT": "wav", "EXCERPT": "90+20", "AUDIO_STREAM": "2"}
    given |= {"STEMS": "none", "MIX": "minus:vocals drums=only:drums"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    command = client_command("http://127.0.0.1:8000")
    assert command[-2:] == ["--", "-odd name.mkv"]
    assert {"--engine=unet", "--format=wav", "--excerpt=90+20", "--audio-stream=2", "--stems=none"} <= set(command)
    assert {"--mix=minus:vocals", "--mix=drums=only:drums"} <= set(command)


def test_what_make_was_not_given_is_left_to_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONG", "song.mp3")
    monkeypatch.delenv("AUDIO_STREAM", raising=False)
    assert not [word for word in client_command("http://127.0.0.1:8000") if word.startswith("--audio-stream")]
