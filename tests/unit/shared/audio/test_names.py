"""Which files of a catalog are taken by their names: the same in folders, below prefixes, and on the page."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from shared.audio.formats import INPUT_EXTENSIONS
from shared.audio.names import OTHER_EXTENSIONS, LeftOut, left_out_because, without_audio_extension
from shared.batches.item_parser import PrefixLines
from shared.batches.model import Manifest
from shared.storage.object_storage import ObjectStorage

CASES = json.loads((Path(__file__).parents[4] / "api/web/source/test/audio_names.json").read_text())


@pytest.mark.parametrize("path", CASES["taken"])
def test_what_may_be_audio_is_taken(path: str) -> None:
    assert left_out_because(path) is None


@pytest.mark.parametrize("reason", list(LeftOut))
def test_what_is_surely_something_else_is_left_out(reason: LeftOut) -> None:
    assert {path: left_out_because(path) for path in CASES[reason]} == dict.fromkeys(CASES[reason], reason)


def test_no_extension_is_audio_and_something_else() -> None:
    assert not INPUT_EXTENSIONS & OTHER_EXTENSIONS


@pytest.mark.parametrize("extension", sorted(INPUT_EXTENSIONS))
def test_every_extension_of_audio_is_taken_and_no_part_of_a_tracks_name(extension: str) -> None:
    assert left_out_because(f"a/song.{extension}") is None
    assert without_audio_extension(f"a/song.{extension}") == "a/song"


@pytest.mark.parametrize("path", ["Mr. Brightside", "St. Anger/Frantic", "Vol.2", ".45", "...Adieu", "v1.0/Take Five"])
def test_a_dot_in_a_name_is_no_extension_of_audio(path: str) -> None:
    assert without_audio_extension(path) == path
    assert without_audio_extension(f"{path}.mp3") == path


def listing(*keys: str) -> ObjectStorage:
    """Return a stand-in for a bucket with these objects; integration tests list a real one."""
    objects = [(key, 0 if key.endswith("/") else 5, None) for key in sorted(keys)]

    def list_objects(_bucket: str, _prefix: str, *, start_after: str) -> list[tuple[str, int, None]]:
        return [found for found in objects if found[0] > start_after]

    return cast(ObjectStorage, SimpleNamespace(list_objects=list_objects, bucket="b"))


def test_a_prefix_takes_the_same_and_counts_the_rest() -> None:
    storage = listing("p/", *(f"p/{path}" for names in CASES.values() for path in names))
    below = PrefixLines(storage, Manifest("b", "p/", "prefix"))
    assert sorted((line.values or {})["track"] for line in below) == sorted(CASES["taken"])
    assert below.left_out.counts == {reason: len(CASES[reason]) for reason in LeftOut}
    assert all(set(below.left_out.examples[reason]) <= set(CASES[reason]) for reason in LeftOut)


def test_a_reader_that_continues_counts_nothing_twice() -> None:
    storage = listing("p/a.jpg", "p/b.mp3", "p/c.txt", "p/d.mp3", "p/e.zip")
    lines, cursor = list[str](), None
    for _ in range(5):
        below = PrefixLines(storage, Manifest("b", "p/", "prefix"), cursor)
        for line in below:
            lines.append(f"{line.number} {(line.values or {})['track']}")
            break
        cursor = json.loads(json.dumps(below.cursor))
    assert lines == ["1 b.mp3", "2 d.mp3"]
    assert below.left_out.to_json() == {"other": {"count": 3, "examples": ["a.jpg", "c.txt", "e.zip"]}}
