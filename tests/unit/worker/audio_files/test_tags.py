from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from shared.audio_formats import FORMATS
from worker.audio_files.tags import FIELDS, MAX_VALUE_CHARACTERS, TAG_WRITERS, Tags, parse_ffmetadata, write_tags
from worker.run_messages import Work


def test_known_fields_are_read_and_unescaped() -> None:
    text = ';FFMETADATA1\ntitle=A \\= "b"\\; \\#1 \\\\ x\nARTIST=Ä\nencoder=Lavf\ndate=2020-01-02\n'
    assert parse_ffmetadata(text) == {"title": 'A = "b"; #1 \\ x', "artist": "Ä", "date": "2020-01-02"}


def test_the_title_of_a_chapter_is_not_taken_for_the_songs() -> None:
    text = ";FFMETADATA1\nalbum=B\n[CHAPTER]\nTIMEBASE=1/1\ntitle=One\n;FFMETADATA1\ntitle=Song\n"
    assert parse_ffmetadata(text) == {"album": "B", "title": "Song"}


def test_line_breaks_and_control_characters_are_removed_from_values() -> None:
    assert parse_ffmetadata(";FFMETADATA1\ntitle=a\\\nb\x1b[31mc\n") == {"title": "a b[31mc"}


def test_the_first_of_repeated_fields_counts() -> None:
    assert parse_ffmetadata(";FFMETADATA1\ntitle=one\ntitle=two\n") == {"title": "one"}


@given(st.text())
def test_any_text_gives_short_printable_fields(text: str) -> None:
    for key, value in parse_ffmetadata(text).items():
        assert key in FIELDS
        assert 0 < len(value) <= MAX_VALUE_CHARACTERS
        assert value.isprintable()


def test_tags_after_lyrics_are_read() -> None:
    text = ";FFMETADATA1\nLYRICS=[Verse 1]\\\nla\\\n[Chorus]\\\ntitle\\=none\nTITLE=Song\n[CHAPTER]\ntitle=One\n"
    assert parse_ffmetadata(text) == {"title": "Song"}


def test_every_output_format_has_a_way_to_write_tags() -> None:
    assert set(TAG_WRITERS) == set(FORMATS)


def test_the_report_notes_a_format_whose_tags_cannot_be_written(tmp_path: Path) -> None:
    stem = tmp_path / "vocals.tape"
    stem.write_bytes(b"samples")
    work = Work("in", "out", "scratch", "song.mp3", "repetition", format="tape")
    assert write_tags(work, Tags({"title": "Song"}), {"vocals": stem}) == [
        "The tags could not be written into vocals.tape."
    ]
    assert stem.read_bytes() == b"samples"
