"""Local manifests: the members of lines, and that an invalid line is reported by its number and affects no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.client.catalog.tracks.items import CatalogItem, SourceError
from api.client.catalog.tracks.manifest import read_manifest
from shared.batches.item_parser import ItemWish, with_defaults
from shared.batches.manifest_format import MAX_LINE_BYTES, read_lines
from shared.errors import FieldsInvalidError
from shared.validation import validate


def read(folder: Path, name: str, content: str | bytes) -> list[CatalogItem]:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_manifest(file))


def test_json_lines_name_files_uploads_objects_and_urls(tmp_path: Path) -> None:
    lines = [
        {"path": "songs/a b.mp3", "engine": "unet", "metadata": {"isrc": "X1"}},
        {"upload_id": "u1", "track": "Second", "excerpt": {"start_seconds": 5}},
        {"s3": {"bucket": "catalog", "key": "x/third.wav"}, "stems": ["vocals"]},
        {"s3": "s3://catalog/x/fourth.wav", "start_seconds": 1, "duration_seconds": 2},
        {"bucket": "catalog", "key": "fifth.wav"},
        {"url": "https://music.example/a/six%20th.ogg?x=1"},
        {"source": {"upload_id": "u7"}},
    ]
    items = read(tmp_path, "m.jsonl", "\n\n".join(json.dumps(line) for line in lines))
    assert [i.error for i in items] == [None] * 7
    assert [i.track for i in items] == ["a b", "Second", "third", "fourth", "fifth", "six th", "u7"]
    assert [i.line for i in items] == [1, 3, 5, 7, 9, 11, 13]
    assert (items[0].path, items[0].options) == (
        tmp_path / "songs/a b.mp3",
        {"engine": "unet", "metadata": {"isrc": "X1"}},
    )
    assert items[1].source == {"upload_id": "u1"}
    assert items[3].source == {"s3": {"bucket": "catalog", "key": "x/fourth.wav"}}
    assert items[3].options == {"excerpt": {"start_seconds": 1, "duration_seconds": 2}}
    assert items[5].url == "https://music.example/a/six%20th.ogg?x=1"
    assert items[4].source == {"s3": {"bucket": "catalog", "key": "fifth.wav"}}


@pytest.mark.parametrize("name", ["Mr. Brightside", "...Baby One More Time", "01. Intro"])
def test_a_track_is_called_by_its_file_also_without_an_ending(tmp_path: Path, name: str) -> None:
    lines = [
        {"path": name},
        {"url": f"https://music.example/{name}"},
        {"bucket": "catalog", "key": f"a/{name}"},
        {"path": f"{name}.mp3"},
    ]
    items = read(tmp_path, "m.jsonl", "\n".join(json.dumps(line) for line in lines))
    assert [i.track for i in items] == [name] * 4


def test_csv_says_the_same_in_columns(tmp_path: Path) -> None:
    text = (
        "\ufefftrack,path,bucket,key,engine,stems,start_seconds,parameters.neighbours,no_cache,metadata.isrc\r\n"
        '"One, with a comma",one.mp3,,,unet,vocals accompaniment,1.5,3,true,X1\r\n'
        ",,catalog,two.wav,,,,,,\r\n"
    )
    one, two = read(tmp_path, "m.CSV", text)
    assert (one.track, one.path, one.line) == ("One, with a comma", tmp_path / "one.mp3", 2)
    assert one.options == {
        "engine": "unet",
        "stems": ["vocals", "accompaniment"],
        "parameters": {"neighbours": 3},
        "no_cache": True,
        "excerpt": {"start_seconds": 1.5},
        "metadata": {"isrc": "X1"},
    }
    assert (two.track, two.source, two.options) == ("two", {"s3": {"bucket": "catalog", "key": "two.wav"}}, {})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{not json", "not valid JSON"),
        ("[1]", "not a JSON object"),
        ("[" * 5000, "not valid JSON"),
        ('{"path": "a.mp3", "fromat": "wav"}', "'fromat' is unknown"),
        ('{"track": "nothing to separate"}', "by path, upload_id"),
        ('{"path": "a.mp3", "url": "https://b"}', "only one of path and url"),
        ('{"path": 7}', "path must be a text"),
        ('{"path": "a\\u0000b"}', "path must be a text"),
        ('{"key": "a.wav"}', "bucket must be a text"),
        ('{"s3": "catalog/a.wav"}', "not of the form s3://"),
        ('{"s3": 5}', "bucket must be a text"),
        ('{"path": "a.mp3", "metadata": [1]}', "metadata must be an object"),
        ('{"path": "a.mp3", "metadata": {"a": "\\ud800"}}', "not valid JSON"),
        ('{"path": "a.mp3", "parameters": {"margin": NaN}}', "not valid JSON"),
        ('{"path": "a.mp3", "track": "\\udc80"}', "not valid JSON"),
        ('{"source": {"s3": {"bucket": "b", "key": "\\ud800"}}}', "not valid JSON"),
        ('{"path": "' + "x" * MAX_LINE_BYTES + '"}', "longer than"),
    ],
)
def test_a_bad_line_is_told_by_its_number_and_harms_no_other(tmp_path: Path, line: str, why: str) -> None:
    good = '{"path": "good.mp3"}'
    first, bad, last = read(tmp_path, "m.jsonl", f"{good}\n{line}\n{good}\n")
    assert bad.error is not None
    assert bad.error.startswith("line 2: ")
    assert why in bad.error
    assert (first.error, last.error, last.track) == (None, None, "good")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('"open quote,b.mp3', "not valid CSV"),
        ("a,b.mp3,1,2", "4 columns, the header has 3"),
        ("a,b.mp3,ten", "start_seconds: 'ten' is not a number"),
        ("a,,", "by path, upload_id"),
        ("a,b.mp3", "2 columns, the header has 3"),
    ],
)
def test_a_bad_row_likewise(tmp_path: Path, line: str, why: str) -> None:
    first, bad, last = read(tmp_path, "m.csv", f"track,path,start_seconds\na,a.mp3,\n{line}\nc,c.mp3,3\n")
    assert bad.error is not None
    assert bad.error.startswith("line 3: ")
    assert why in bad.error
    assert (first.track, last.track, last.options) == ("a", "c", {"excerpt": {"start_seconds": 3}})


def test_bytes_that_are_no_text_stay_a_file_name_and_harm_nothing(tmp_path: Path) -> None:
    (item,) = read(tmp_path, "m.csv", b"path\ncaf\xe9.mp3\n")
    assert item.error is None
    assert item.path is not None
    assert bytes(item.path).endswith(b"caf\xe9.mp3")
    assert item.track == "caf\xe9"


def test_a_column_that_nobody_knows_ends_it_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="column 'fromat' is unknown"):
        read(tmp_path, "m.csv", "path,fromat\na.mp3,wav\n")


def test_the_same_line_twice_is_two_tracks_and_stays_the_same_two(tmp_path: Path) -> None:
    text = '{"path": "a.mp3"}\n{"path": "b.mp3"}\n{"path": "a.mp3"}\n'
    before = [i.ident for i in read(tmp_path, "m.jsonl", text)]
    assert len(set(before)) == 3
    after = [i.ident for i in read(tmp_path, "m.jsonl", '{"path": "new.mp3"}\n' + text)]
    assert after[1:] == before


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_what_spreadsheets_put_between_cells_is_taken(tmp_path: Path, delimiter: str) -> None:
    rows = [("path", "track", "metadata.isrc"), ("a.mp3", "One, two", "X"), ("b.mp3", "1; 2", "")]
    text = "\ufeff" + "".join(delimiter.join(f'"{cell}"' for cell in row) + "\r\n" for row in rows)
    first, second = read(tmp_path, "m.csv", text)
    assert (first.error, second.error) == (None, None)
    assert (first.track, first.options) == ("One, two", {"metadata": {"isrc": "X"}})
    assert second.track == "1; 2"


def test_a_table_in_another_encoding_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"^m\.csv: .* not UTF-8\.$"):
        read(tmp_path, "m.csv", "path,métadata\na.mp3,\n".encode("latin-1"))


BOTH_DOORS = {
    "m.jsonl": [
        '{"source": {"s3": {"bucket": "b", "key": "x/a.wav"}}, "format_options": {"bit_depth": 16}, "format": "wav"}',
        '{"s3": "s3://b/x/a.wav", "format": "wav", "bit_depth": 16}',
        '{"bucket": "b", "key": "a.wav", "excerpt": {"start_seconds": 1}}',
        '{"bucket": "b", "key": "a.wav", "excerpt": "1+5"}',
        '{"bucket": "b", "key": "a.wav", "start_seconds": 1, "excerpt": "1+5"}',
        '{"bucket": "b", "key": "a.wav", "excerpt_start_seconds": 1}',
        '{"upload_id": "0123456789abcdef0123456789abcdef", "track": "", "metadata": {"a": [1, null]}}',
        '{"upload_id": "0123456789abcdef0123456789abcdef", "s3": "s3://b/a.wav"}',
        '{"upload_id": "0123456789abcdef0123456789abcdef", "source": {"url": "https://x"}}',
        '{"upload_id": "0123456789abcdef0123456789abcdef", "upload_id": "0123456789abcdef0123456789abcdef"}',
        '{"upload_id": "0123456789abcdef0123456789abcdef", "metadata": 5}',
        '{"upload_id": 5}',
        '{"job_id": "0123456789abcdef0123456789abcdef", "output": "vocals"}',
        '{"job_id": "0123456789abcdef0123456789abcdef"}',
        '{"output": "vocals"}',
        '{"job_id": "0123456789abcdef0123456789abcdef", "output": "vocals", "url": "https://x"}',
        '{"bucket": "b"}',
        '{"track": "T"}',
        '{"key": "a.wav", "bucket": "b", "fromat": "wav"}',
        '{"key": "a.wav", "bucket": "b", "parameters": {"x": 1e999}}',
        "{",
        "\ufeff{}",
    ],
    "m.csv": [
        "track,upload_id,s3,bucket,key,stems,parameters.x,parameters.y,bit_depth,format,excerpt,start_seconds,no_cache,metadata.m",
        "T,0123456789abcdef0123456789abcdef,,,,vocals;drums,3,nan,24,wav,,1.5,yes,007",
        ",,s3://b/k/one.wav,,,,1e3,1_000,,,90+20,,false,",
        ",,,b,k/two.wav,,,,,,,,,",
        ",,,b,k/two.wav,,,,,,90+20,5,,",
        ",,,b,k/two.wav,,,,deep,,,,,",
        ",,,b,k/two.wav,,,,,,,,perhaps,",
        ",,,b,k/two.wav",
        ",,,b,k/two.wav,,,,,,,,,,,",
        ',,,b,"k/two.wav,,,,,,,,,',
        ",,,,,,,,,,,,,m",
    ],
}


@pytest.mark.parametrize("name", BOTH_DOORS)
def test_client_and_server_read_a_manifest_alike(name: str, tmp_path: Path) -> None:
    content = "\n".join(BOTH_DOORS[name]).encode()
    of_client = read(tmp_path, name, content)
    of_server = list(read_lines([content], name.removeprefix("m.")))
    assert [item.line for item in of_client] == [line.number for line in of_server]
    for item, line in zip(of_client, of_server, strict=True):
        # What the client makes of a line reaches the server as an item of a batch.
        sent = None if item.error else {"track": item.track, "source": item.source, **item.options}
        taken, wanted = (_as_server_reads(values) for values in (sent, line.values))
        if wanted and wanted["track"] is None:
            wanted["track"] = taken["track"] if taken else None
        assert taken == wanted, BOTH_DOORS[name][line.number - 1]


def _as_server_reads(values: dict[str, Any] | None) -> dict[str, Any] | None:
    try:
        return None if values is None else validate(ItemWish, with_defaults({}, values)).model_dump()
    except FieldsInvalidError:
        return None


LISTED = "songs/a b.mp3\r\n\n#1.mp3\nhttps://music.example/a/six%20th.ogg?x=1\ns3://catalog/x/fourth.wav\n-rf.mp3"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_text_may_be_a_list_of_paths_and_addresses(tmp_path: Path, encoding: str) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    items = read(tmp_path, "songs.txt", mark + LISTED.encode(encoding))
    assert [i.error for i in items] == [None] * 5
    assert [i.line for i in items] == [1, 3, 4, 5, 6]
    assert [i.track for i in items] == ["a b", "#1", "six th", "fourth", "-rf"]
    assert [i.path for i in items if i.path] == [tmp_path / "songs/a b.mp3", tmp_path / "#1.mp3", tmp_path / "-rf.mp3"]
    assert items[2].url == "https://music.example/a/six%20th.ogg?x=1"
    assert items[3].source == {"s3": {"bucket": "catalog", "key": "x/fourth.wav"}}


def test_a_list_may_name_any_file_and_a_bad_line_harms_no_other(tmp_path: Path) -> None:
    items = read(tmp_path, "songs.txt", b"s3://\ncaf\xe9.mp3\n" + b"x" * 70_000 + b"\nb.mp3")
    assert [i.error for i in items] == [items[0].error, None, "line 3: The line is longer than 65,536 bytes.", None]
    assert items[0].error
    assert (items[1].path, items[1].track) == (tmp_path / "caf\udce9.mp3", "café")
    assert items[3].path == tmp_path / "b.mp3"


@pytest.mark.parametrize(
    "first", ["Track, The.flac", "{live} a.flac", "path; engine.flac", "{}.flac", "[1]", "path,path", ",", '"path']
)
def test_a_list_may_begin_with_any_name(tmp_path: Path, first: str) -> None:
    items = read(tmp_path, "songs.txt", f"{first}\nb.mp3\n")
    assert [(i.error, i.path) for i in items] == [(None, tmp_path / first), (None, tmp_path / "b.mp3")]


def test_a_playlist_is_a_list_without_its_own_lines(tmp_path: Path) -> None:
    text = "\ufeff#EXTM3U\r\n#EXTINF:123,Someone - A\r\na.mp3\r\n\r\n#PLAYLIST:Mine\r\n./#1.mp3\r\n"
    items = read(tmp_path, "songs.txt", text)
    assert [(i.error, i.line, i.path) for i in items] == [
        (None, 3, tmp_path / "a.mp3"),
        (None, 6, tmp_path / "#1.mp3"),
    ]


def test_the_scheme_of_an_address_may_have_any_case(tmp_path: Path) -> None:
    items = read(tmp_path, "songs.txt", "HTTP://Music.example/A.ogg\nHttps://x/B.ogg\nS3://Catalog/X/c.wav\n")
    assert [i.error for i in items] == [None] * 3
    assert [i.url for i in items] == ["http://Music.example/A.ogg", "https://x/B.ogg", None]
    assert items[2].source == {"s3": {"bucket": "Catalog", "key": "X/c.wav"}}


@pytest.mark.parametrize("before", [b"\n" * (MAX_LINE_BYTES - 9), b"x" * (MAX_LINE_BYTES + 1) + b"\n"])
def test_a_text_may_hold_json_lines_behind_lines_that_tell_nothing(tmp_path: Path, before: bytes) -> None:
    *_, last = read(tmp_path, "m.txt", before + b'{"path": "a.mp3", "format": "wav"}')
    assert (last.path, last.options, last.error) == (tmp_path / "a.mp3", {"format": "wav"}, None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.txt", '\n{"path": "a.mp3", "format": "wav"}\n'),
        ("m.txt", "PATH,format,metadata.x,\na.mp3,wav,,\n"),
        ("m.txt", '"Path",format\na.mp3,wav\n'),
        ("m.txt", "format\tpath\r\nwav\ta.mp3\r\n"),
        ("m.tsv", "path\tformat\na.mp3\twav\n"),
        ("m.csv", "path;format\na.mp3;wav\n".encode("utf-16")),
    ],
)
def test_a_text_may_hold_json_lines_or_a_table(tmp_path: Path, name: str, content: str | bytes) -> None:
    (item,) = read(tmp_path, name, content)
    assert (item.path, item.options, item.error) == (tmp_path / "a.mp3", {"format": "wav"}, None)
