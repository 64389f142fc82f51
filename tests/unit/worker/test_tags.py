from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.tags import FIELDS, MAX_VALUE_CHARACTERS, parse_ffmetadata


def test_known_fields_are_read_with_their_escapes() -> None:
    text = ';FFMETADATA1\ntitle=A \\= "b"\\; \\#1 \\\\ x\nARTIST=Ä\nencoder=Lavf\ndate=2020-01-02\n'
    assert parse_ffmetadata(text) == {"title": 'A = "b"; #1 \\ x', "artist": "Ä", "date": "2020-01-02"}


def test_a_chapters_title_is_not_the_songs() -> None:
    text = ";FFMETADATA1\nalbum=B\n[CHAPTER]\nTIMEBASE=1/1\ntitle=One\n;FFMETADATA1\ntitle=Song\n"
    assert parse_ffmetadata(text) == {"album": "B", "title": "Song"}


def test_lines_and_control_characters_are_taken_out_of_values() -> None:
    assert parse_ffmetadata(";FFMETADATA1\ntitle=a\\\nb\x1b[31mc\n") == {"title": "a b[31mc"}


def test_the_first_of_repeated_fields_counts() -> None:
    assert parse_ffmetadata(";FFMETADATA1\ntitle=one\ntitle=two\n") == {"title": "one"}


@given(st.text())
def test_any_text_gives_short_printable_fields(text: str) -> None:
    for key, value in parse_ffmetadata(text).items():
        assert key in FIELDS
        assert 0 < len(value) <= MAX_VALUE_CHARACTERS
        assert value.isprintable()


def test_lyrics_hide_no_tag_that_comes_after_them() -> None:
    text = ";FFMETADATA1\nLYRICS=[Verse 1]\\\nla\\\n[Chorus]\\\ntitle\\=none\nTITLE=Song\n[CHAPTER]\ntitle=One\n"
    assert parse_ffmetadata(text) == {"title": "Song"}
