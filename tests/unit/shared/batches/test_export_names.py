"""Names of exported copies: safe as keys and as paths, whatever a track is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.batches.export_names import (
    MAX_KEY_BYTES,
    check_template,
    export_key,
    export_keys,
    with_distinct_names,
)
from shared.batches.model import Export
from shared.batches.stored_items import StoredItem
from shared.errors import RequestInvalidError
from shared.parsing.file_names import UNSAFE_CHARACTERS

TEMPLATES = ("{track}/{stem}.{format}", "{number}-{stem}", "a/../{track}/./{stem}", "/{track}{stem}/")


@given(track=st.text(), prefix=st.text(max_size=50), template=st.sampled_from(TEMPLATES))
def test_no_track_leads_out_of_the_prefix(track: str, prefix: str, template: str) -> None:
    values = {"track": track, "number": "000001", "stem": "vocals", "format": "flac"}
    try:
        key = export_key(prefix, check_template(template), values)
    except RequestInvalidError:
        assert len((prefix + track).encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES / 4
        return
    parts = key.split("/")
    assert all(part and part == part.strip(". ") for part in parts)
    assert not UNSAFE_CHARACTERS & set(key)
    assert 0 < len(key.encode()) <= MAX_KEY_BYTES
    assert "vocals" in key


@pytest.mark.parametrize(
    "template", ["{track}.flac", "{stem}.flac", "{track}{stem", "{track}{stem}{owner}", "{}{stem}"]
)
def test_templates_that_cannot_name_every_stem_are_refused(template: str) -> None:
    with pytest.raises(RequestInvalidError):
        check_template(template)


def test_a_template_is_filled_in_once() -> None:
    values = {"track": "{stem}", "number": "000007", "stem": "vocals", "format": "mp3"}
    assert export_key("out", "{track}/{number}.{stem}.{format}", values) == "out/{stem}/000007.vocals.mp3"


@given(
    st.lists(st.lists(st.sampled_from(["a", "a (1)", "a (2)", "a (2) (2)", "a:", "a?", "b"]), max_size=6), max_size=4)
)
def test_no_two_tracks_have_copies_of_one_name_wherever_the_reading_is_broken_off(chunks: list[list[str]]) -> None:
    export = Export("bucket", "", "{track}/{stem}.{format}")
    given_marks: set[str] = set()
    keys: list[str] = []
    firsts: dict[str, str] = {}
    for tracks in chunks:
        items = [StoredItem(len(keys) + n, 1, track) for n, track in enumerate(tracks, 1)]
        named, marks = with_distinct_names(export, items, lambda wanted: [mark in given_marks for mark in wanted])
        assert with_distinct_names(export, items, lambda wanted: [mark in given_marks for mark in wanted])[0] == named
        given_marks.update(marks)
        keys += [export_keys(export, item, ["vocals"])["vocals"] for item in named]
        for item in named:
            firsts.setdefault(item.track, item.export_track or item.track)
    assert len(set(keys)) == len(keys)
    assert firsts.get("b", "b") == "b", "whoever is alone or first keeps the name"
