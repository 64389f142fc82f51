from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen.wave import WAVE

from shared.audio.formats import FORMATS
from tests.fixtures.sounds.audio import make_song, write_wav
from worker.audio_files.tags import reading
from worker.audio_files.tags.fields import (
    CODE_PAGES,
    FIELDS,
    MAX_LYRICS_CHARACTERS,
    MAX_VALUE_CHARACTERS,
    Tags,
    code_page_name,
    collect,
    decode_text,
    field_of,
)
from worker.audio_files.tags.reading import parse_ffmetadata
from worker.audio_files.tags.writing import (
    TAG_WRITERS,
    output_that_was_separated,
    title_of_output,
    title_of_source,
    write_tags,
)
from worker.run_messages import Work


def parse(text: str) -> dict[str, tuple[str, ...]]:
    return parse_ffmetadata(text.encode("utf-8", "surrogatepass"))


def test_known_fields_are_read_and_unescaped() -> None:
    text = ';FFMETADATA1\ntitle=A \\= "b"\\; \\#1 \\\\ x\nARTIST=Ä\nencoder=Lavf\ndate=2020-01-02\n'
    assert parse(text) == {"title": ('A = "b"; #1 \\ x',), "artist": ("Ä",), "date": ("2020-01-02",)}


def test_the_title_of_a_chapter_is_not_taken_for_the_songs() -> None:
    text = ";FFMETADATA1\nalbum=B\n[CHAPTER]\nTIMEBASE=1/1\ntitle=One\n;FFMETADATA1\ntitle=Song\n"
    assert parse(text) == {"album": ("B",), "title": ("Song",)}


def test_line_breaks_and_control_characters_are_removed_from_values() -> None:
    assert parse(";FFMETADATA1\ntitle=a\\\nb\x1b[31mc\n") == {"title": ("a b[31mc",)}


def test_lyrics_keep_their_lines() -> None:
    assert parse(";FFMETADATA1\nlyrics-eng=one\\\ntwo\n") == {"lyrics": ("one\ntwo",)}


def test_the_first_of_repeated_fields_counts() -> None:
    assert parse(";FFMETADATA1\ntitle=one\ntitle=two\n") == {"title": ("one",)}


@given(st.text())
def test_any_text_gives_short_printable_fields(text: str) -> None:
    for key, values in parse(text).items():
        assert key in FIELDS
        for value in values:
            assert 0 < len(value) <= (MAX_LYRICS_CHARACTERS if key == "lyrics" else MAX_VALUE_CHARACTERS)
            assert value.replace("\n", "").isprintable()
            assert "\ufffd" not in value


@given(st.binary())
def test_any_bytes_are_read_as_some_text(raw: bytes) -> None:
    assert "\ufffd" not in decode_text(raw) or b"\xef\xbf\xbd" in raw


def test_tags_after_lyrics_are_read() -> None:
    text = ";FFMETADATA1\nLYRICS=[Verse 1]\\\nla\\\n[Chorus]\\\ntitle\\=none\nTITLE=Song\n[CHAPTER]\ntitle=One\n"
    assert parse(text)["title"] == ("Song",)


@pytest.mark.parametrize(
    ("raw", "code_page", "text"),
    [
        ("Beyoncé".encode(), None, "Beyoncé"),
        ("Beyoncé".encode("cp1252"), None, "Beyoncé"),
        ("Don\u2019t \u201cstop\u201d \u2013 €5".encode("cp1252"), None, "Don\u2019t \u201cstop\u201d \u2013 €5"),
        ("Кино".encode("cp1251"), "cp1251", "Кино"),
        ("宇多田ヒカル".encode("cp932"), "cp932", "宇多田ヒカル"),
        ("Größe".encode("mac_roman"), code_page_name(10000), "Größe"),
        ("Кино".encode("koi8_r"), code_page_name(20866), "Кино"),
        ("Łódź".encode("iso8859_2"), code_page_name(28592), "Łódź"),
        ("Größe".encode("iso8859_15"), code_page_name(28605), "Größe"),
        # Whatever is declared, text that is UTF-8 is UTF-8.
        ("Кино".encode(), "cp1251", "Кино"),
        # ID3v1 cuts after 30 bytes, also within a letter.
        ("Déjà Vu, Déjà Vu, Déjà Vu, xxxé".encode()[:-1], None, "Déjà Vu, Déjà Vu, Déjà Vu, xxx"),
        ("café".encode("cp1252"), None, "café"),
        ("Группа крови: на рукаве (live)".encode("cp1251"), None, "Группа крови: на рукаве (live)"),
        ("Щедрик, їдьмо".encode("cp1251"), None, "Щедрик, їдьмо"),
        ("КИНО".encode("cp1251"), None, "КИНО"),
        ("Ääää, öö!".encode("cp1252"), None, "Ääää, öö!"),
        ("ÆØÅ, ¿ÁÉ?".encode("cp1252"), None, "ÆØÅ, ¿ÁÉ?"),
        ("ÆØÅÆ og más".encode("cp1252"), None, "ÆØÅÆ og más"),
    ],
)
def test_text_is_read_as_what_it_is(raw: bytes, code_page: str | None, text: str) -> None:
    assert decode_text(raw, code_page) == text


def test_each_line_is_decoded_by_itself() -> None:
    text = b";FFMETADATA1\ntitle=" + "Größe".encode("cp1252") + b"\nartist=" + "Größe".encode() + b"\n"
    assert parse_ffmetadata(text) == {"title": ("Größe",), "artist": ("Größe",)}


def test_cyrillic_that_was_declared_as_latin_1_is_read() -> None:
    title = "Кино \u2013 Группа крови"
    assert collect([("title", title.encode("cp1251").decode("latin-1"))]) == {"title": (title,)}


def test_windows_letters_that_were_declared_as_latin_1_are_kept() -> None:
    assert collect([("title", "Don\x92t")]) == {"title": ("Don\u2019t",)}


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("MusicBrainz Album Id", "musicbrainz_albumid"),
        ("MUSICBRAINZ_ALBUMID", "musicbrainz_albumid"),
        ("MusicBrainz/Album Id", "musicbrainz_albumid"),
        ("album_artist", "albumartist"),
        ("lyrics-eng", "lyrics"),
        ("WM/PartOfSet", "discnumber"),
        ("REPLAYGAIN_TRACK_GAIN", None),
        ("encoder", None),
    ],
)
def test_tags_are_known_by_the_names_of_every_container(name: str, field: str | None) -> None:
    assert field_of(name) == field


def test_totals_are_split_from_numbers() -> None:
    assert collect([("track", "4/12"), ("disc", "2")]) == {
        "tracknumber": ("4",),
        "tracktotal": ("12",),
        "discnumber": ("2",),
    }


def test_every_output_format_has_a_way_to_write_tags() -> None:
    assert set(TAG_WRITERS) == set(FORMATS)


def test_the_report_notes_a_format_whose_tags_cannot_be_written(tmp_path: Path) -> None:
    stem = tmp_path / "vocals.tape"
    stem.write_bytes(b"samples")
    work = Work("in", "out", "scratch", "song.mp3", "repetition", format="tape")
    assert write_tags(work, Tags({"title": ("Song",)}), {"vocals": stem}) == [
        "The tags could not be written into vocals.tape."
    ]
    assert stem.read_bytes() == b"samples"


def test_every_code_page_of_the_table_is_one_that_python_knows() -> None:
    assert [number for number in CODE_PAGES if code_page_name(number) is None] == []


@pytest.mark.parametrize(
    ("filename", "title"),
    [("Mr. Brightside", "Mr. Brightside"), ("...Baby One More Time", "...Baby One More Time"), ("a.b.mp3", "a.b")],
)
def test_a_song_without_a_title_is_called_by_its_file(tmp_path: Path, filename: str, title: str) -> None:
    stem = tmp_path / "vocals.wav"
    stem.write_bytes(write_wav(tmp_path / "in.wav", make_song(1)).read_bytes())
    work = Work("in", "out", "scratch", filename, "repetition", format="wav")
    assert write_tags(work, Tags({}), {"vocals": stem}) == []
    written = WAVE(stem).tags
    assert written is not None
    assert str(written["TIT2"]) == f"{title} (vocals)"


@pytest.mark.parametrize(
    ("source_title", "source_output", "name", "title"),
    [
        ("Song", None, "vocals", "Song (vocals)"),
        ("Song (vocals)", None, "vocals", "Song (vocals) (vocals)"),
        ("Song (vocals)", "vocals", "vocals", "Song (vocals of vocals)"),
        ("Song (Live) (vocals)", "vocals", "lead", "Song (Live) (lead of vocals)"),
        ("Song (drums of vocals)", "drums", "bass", "Song (bass of drums of vocals)"),
        ("Song (vocals of drums)", "drums", "bass", "Song (vocals of drums) (bass)"),
        ("song - vocals", "vocals", "vocals", "song - vocals (vocals)"),
    ],
)
def test_a_stem_of_a_stem_says_so_once(source_title: str, source_output: str | None, name: str, title: str) -> None:
    work = Work("in", "out", "scratch", "song.flac", "share", source_output=source_output)
    assert title_of_output(source_title, name, work) == title
    assert title_of_source(title, name) == source_title, "mixes of the stems are titled after the song"
    assert title_of_source("Other", name) == "Other"


@pytest.mark.parametrize("text", [b"\\\\" * 50_000, b"a" * 50_000, b"\\=" * 50_000])
def test_text_that_was_cut_off_behind_a_backslash_is_read_like_any_other(text: bytes) -> None:
    """A pattern that looks for another match would be at it for hours."""
    head = b";FFMETADATA1\ntitle=A\n"
    assert parse_ffmetadata(head + b"lyrics=" + text + b"\\")["title"] == ("A",)
    assert parse_ffmetadata(head + text + b"\\") == {"title": ("A",)}


def test_the_number_of_lines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_METADATA_LINES", 2)
    assert parse_ffmetadata(b";FFMETADATA1\ntitle=A\nartist=B\n") == {"title": ("A",)}


@pytest.mark.parametrize(
    ("stem_title", "output", "title"),
    [
        ("Song (vocals)", None, "Song (karaoke)"),
        ("Song (Live) (vocals)", None, "Song (Live) (karaoke)"),
        ("Song (vocals of vocals)", "vocals", "Song (karaoke of vocals)"),
        ("Song (vocals of drums of mine)", "drums", "Song (karaoke of drums of mine)"),
        ("song - vocals (vocals)", None, "song - vocals (karaoke)"),
        ("Anthem (vocals of war) (vocals)", None, "Anthem (vocals of war) (karaoke)"),
        ("Anthem (vocals of war) (vocals of drums)", "drums", "Anthem (vocals of war) (karaoke of drums)"),
    ],
)
def test_a_mix_of_a_stems_stems_says_of_what(stem_title: str, output: str | None, title: str) -> None:
    assert output_that_was_separated(stem_title, "vocals") == output
    work = Work("in", "out", "scratch", "song.flac", "share", source_output=output)
    assert title_of_output(title_of_source(stem_title, "vocals"), "karaoke", work) == title
