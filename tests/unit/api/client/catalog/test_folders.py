"""Whatever its name is, a track gets a valid folder of its own below the output folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.client.catalog.folders import FolderNames, folder_name

NAMES = st.text(st.characters(codec="utf-8"), max_size=400) | st.sampled_from(
    [
        "",
        ".",
        "..",
        "../..",
        "/etc/passwd",
        "a/../../b",
        ".stemqueue",
        "report.csv",
        "a" * 300,
        "CON",
        "nul.flac",
        "é",
        "é",
    ]
)


@pytest.mark.parametrize(
    ("track", "folder"),
    [
        ("Artist/Album/01 Song", "Artist/Album/01 Song"),
        ("日本の歌", "日本の歌"),
        ("../../etc/passwd", "_/_/etc/passwd"),
        ("/absolute", "absolute"),
        ("a//b/./c", "a/b/_/c"),
        ("what? *: \\ <x>|", "what_ __ _ _x__"),
        ("line\nbreak\tand\x00more", "line break and_more"),
        (".stemqueue", "_stemqueue"),
        ("ends with dots...", "ends with dots"),
        ("CON", "CON_"),
        ("vocals.flac", "vocals.flac_"),
        ("report.csv", "report.csv_"),
        ("", "track"),
        ("/", "track"),
        ("..", "_"),
        ("\u202egnos", "_gnos"),
    ],
)
def test_names_that_would_do_harm_are_changed_and_others_kept(track: str, folder: str) -> None:
    assert folder_name(track) == folder


def test_long_names_are_cut_and_stay_apart() -> None:
    one, other = folder_name("ü" * 300 + "1"), folder_name("ü" * 300 + "2")
    assert one != other
    assert max(len(one.encode()), len(other.encode())) <= 140
    deep = folder_name("/".join(["folder"] * 400))
    assert len(deep.encode()) <= 140


def test_the_same_name_again_gets_a_number_even_where_capitals_do_not_count() -> None:
    names = FolderNames(["song"])
    assert [names.name_for(t) for t in ("Song", "SONG", "song (3)", "other")] == [
        "Song (2)",
        "SONG (3)",
        "song (3) (2)",
        "other",
    ]


@given(st.lists(NAMES, max_size=20))
def test_every_name_has_a_folder_of_its_own_below_the_output(tracks: list[str]) -> None:
    names = FolderNames()
    folders = [names.name_for(t) for t in tracks]
    assert len({f.casefold() for f in folders}) == len(tracks)
    for folder in folders:
        path = PurePosixPath(folder)
        assert not path.is_absolute()
        assert not {"..", ".", ""} & set(folder.split("/"))
        assert all(len(part.encode()) <= 150 and not part.startswith(".") for part in path.parts)
        assert Path("/out", folder).resolve().is_relative_to("/out")
