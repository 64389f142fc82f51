"""A manifest has the same lines however its bytes are split, and wherever reading resumes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.batches import manifest_format
from shared.batches.item_parser import ItemWish
from shared.batches.manifest_fields import ITEM_FIELDS
from shared.batches.manifest_format import MAX_LINE_BYTES, ManifestLine, read_header, read_lines
from shared.errors import ManifestInvalidError
from shared.jobs.options import PARTS

JSON_LINES = st.one_of(
    st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3).map(lambda d: json.dumps(d).encode()),
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")),
    st.just(b""),
    st.just(b"x" * (MAX_LINE_BYTES + 1)),
)


def blocks(content: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = 0
    for cut in sorted(cut % (len(content) + 1) for cut in cuts):
        yield content[at:cut]
        at = cut
    yield content[at:]


@given(lines=st.lists(JSON_LINES, max_size=8), ends=st.booleans(), cuts=st.lists(st.integers(0, 10**6), max_size=6))
def test_lines_do_not_depend_on_how_their_bytes_come(lines: list[bytes], ends: bool, cuts: list[int]) -> None:
    content = b"\n".join(lines) + (b"\n" if ends else b"")
    whole = list(read_lines([content], "jsonl"))
    assert list(read_lines(blocks(content, cuts), "jsonl")) == whole
    for n, line in enumerate(whole):
        rest = read_lines([content[line.end :]], "jsonl", offset=line.end, number=line.number)
        assert list(rest) == whole[n + 1 :], "whoever reads on behind a line sees what comes after it"


@given(raw=st.binary(max_size=200))
def test_no_bytes_are_too_odd_for_a_table(raw: bytes) -> None:
    content = b"track,upload_id,metadata.note\r\n" + raw
    lines = list(read_lines([content], "csv"))
    assert all((line.values is None) != (line.error is None) for line in lines)
    header = read_header("track,upload_id,metadata.note")
    for n, line in enumerate(lines):
        rest = read_lines([content[line.end :]], "csv", offset=line.end, number=line.number, header=header)
        assert list(rest) == lines[n + 1 :]


def test_line_numbers_count_what_an_editor_counts() -> None:
    lines = list(read_lines([b'\n{"a": 1}\n\n\nno\n{"b": 2}'], "jsonl"))
    assert [(line.number, line.values, line.error) for line in lines] == [
        (2, {"a": 1}, None),
        (5, None, "The line is not valid JSON."),
        (6, {"b": 2}, None),
    ]


def test_numbers_that_json_does_not_have_are_refused() -> None:
    (line,) = read_lines([b'{"a": NaN}'], "jsonl")
    assert line.error == "The line is not valid JSON."


def test_a_table_row_becomes_what_a_json_line_would_say() -> None:
    text = "track,bucket,key,stems,start_seconds,parameters.margin,parameters.window,metadata.isrc\n"
    (line,) = read_lines([text.encode() + b"T,b,k/a.flac,vocals;drums,1.5,2,hann,X\n"], "csv")
    assert line == ManifestLine(
        2,
        len(text) + 39,
        {
            "track": "T",
            "source": {"s3": {"bucket": "b", "key": "k/a.flac"}},
            "stems": ["vocals", "drums"],
            "excerpt": {"start_seconds": 1.5},
            "parameters": {"margin": 2, "window": "hann"},
            "metadata": {"isrc": "X"},
        },
    )


@pytest.mark.parametrize("header", ["", "track,tracks", "track,track", '"track', "a,b"])
def test_a_table_needs_a_header_that_is_known(header: str) -> None:
    with pytest.raises(ManifestInvalidError):
        read_header(header)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_cells_are_parted_by_what_parts_those_of_the_first_line(delimiter: str) -> None:
    names, cells = ("track", "upload_id", "metadata.note"), ("One, two; three\tfour", "u", "x")
    rows = [delimiter.join(f'"{cell}"' for cell in row) for row in (names, cells, cells)]
    first, second = read_lines(["\r\n".join(rows).encode()], "csv")
    assert first.values == {"track": cells[0], "source": {"upload_id": "u"}, "metadata": {"note": "x"}}
    header = read_header(rows[0])
    again = read_lines([rows[2].encode()], "csv", offset=first.end, number=2, header=header)
    assert list(again) == [second], "whoever reads on does too"


def test_the_fields_are_those_of_an_item() -> None:
    assert {*ItemWish.model_fields, *(name for parts in PARTS.values() for name in parts)} == ITEM_FIELDS


@pytest.mark.parametrize("content", [b"\xff\xfe\nupload_id\nx\n", b"x" * (MAX_LINE_BYTES + 1) + b"\nupload_id\nx\n"])
def test_a_table_whose_first_line_cannot_be_read_has_no_other_header(content: bytes) -> None:
    with pytest.raises(ManifestInvalidError, match="header"):
        list(read_lines([content], "csv"))


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("bit_depth", "24", 24),
        ("audio_stream", "2", 2),
        ("parameters.margin", "-1.5e2", -150.0),
        ("parameters.window", "nan", "nan"),
        ("parameters.window", "1_000", "1_000"),
        ("parameters.window", "1e999", "1e999"),
        ("no_cache", "Yes", True),
        ("no_cache", "0", False),
        ("stems", "vocals accompaniment", ["vocals", "accompaniment"]),
        ("stems", "none", []),
        ("mixes", "minus:vocals", [{"name": "minus-vocals", "gains_db": {"vocals": None}, "rest_db": 0.0}]),
        (
            "mixes",
            "quiet=vocals:-6 only:drums",
            [
                {"name": "quiet", "gains_db": {"vocals": -6.0}, "rest_db": 0.0},
                {"name": "only-drums", "gains_db": {"drums": 0.0}, "rest_db": None},
            ],
        ),
        ("excerpt", "90+20", {"start_seconds": 90.0, "duration_seconds": 20.0}),
        ("excerpt", "90+", {"start_seconds": 90.0}),
        ("metadata", '{""a"": 1}', {"a": 1}),
        ("parameters", '{""margin"": 2}', {"margin": 2}),
    ],
)
def test_cells_are_read(column: str, cell: str, value: object) -> None:
    (line,) = read_lines([f'upload_id,{column}\nu,"{cell}"\n'.encode()], "csv")
    group, dot, member = column.partition(".")
    assert line.error is None
    found = (line.values or {})[group]
    assert (found[member] if dot else found) == value


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("bit_depth", "deep"),
        ("start_seconds", "nan"),
        ("start_seconds", "9" * 5000),
        ("no_cache", "perhaps"),
        ("excerpt", "90"),
        ("metadata", "[1]"),
        ("parameters", "{"),
        ("s3", "bucket/key"),
        ("mixes", "vocals"),
        ("mixes", "a=minus:vocals A=only:vocals"),
    ],
)
def test_other_cells_name_their_column(column: str, cell: str) -> None:
    (line,) = read_lines([f'track,{column}\nu,"{cell}"\n'.encode()], "csv")
    assert (line.error or "").startswith(f"{column}: ")


def test_only_a_client_may_name_files_and_their_names_may_be_any_bytes() -> None:
    content = b"path,engine\ncaf\xe9.mp3,unet\na.mp3,\xe9\n"
    with pytest.raises(ManifestInvalidError, match="'path' is unknown"):
        list(read_lines([content], "csv"))
    first, second = read_lines([content], "csv", has_paths=True)
    assert first.values == {"path": "caf\udce9.mp3", "engine": "unet"}
    assert second.error == "The line is not UTF-8."


@pytest.mark.parametrize(
    "content",
    [
        "track,upload_id,,\na,b,,\n",
        "track,upload_id,,\na,b\n",
        "track,upload_id\na,b,, ,\n",
        "track;upload_id;;\na;b;;\n",
        "Track,UPLOAD_ID\na,b\n",
        "\ufeffTrack,Upload ID, \na,b,\n",
        "track,,Upload-Id\na,,b\n",
        "track,uploadId\na,b\n",
        "track,Upload\u00a0ID\na,b\n",
        "sep=;\r\nTrack;UploadID\r\na;b\r\n",
        '\ufeff"sep=,"\ntrack,upload_id\na,b\n',
    ],
)
def test_tables_as_spreadsheets_write_them_are_read(content: str) -> None:
    (line,) = read_lines([content.encode()], "csv")
    assert line.error is None
    assert line.values == {"track": "a", "source": {"upload_id": "b"}}


@pytest.mark.parametrize("name", ["metadata.ISRC", "Metadata.ISRC", " METADATA. ISRC "])
def test_members_of_groups_keep_their_case(name: str) -> None:
    (line,) = read_lines([f"upload_id,{name}\nb,x\n".encode()], "csv")
    assert (line.values or {})["metadata"] == {"ISRC": "x"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("track,upload_id,\na,b,c\n", "3 columns, the header has 2"),
        ("track,,upload_id\na,x,b\n", "column without a name"),
        ("track,upload_id\na\n", "1 columns, the header has 2"),
    ],
)
def test_values_that_belong_to_no_column_are_told(content: str, words: str) -> None:
    (line,) = read_lines([content.encode()], "csv")
    assert words in (line.error or "")


def test_a_column_that_is_there_twice_in_another_case_is_refused() -> None:
    with pytest.raises(ManifestInvalidError, match="twice"):
        read_header("Track,track,upload_id")


def test_empty_lines_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two gigabytes of them would take an hour to read."""
    monkeypatch.setattr(manifest_format, "MAX_LINES", 3)
    assert len(list(read_lines([b'\n\n{"a": 1}'], "jsonl"))) == 1
    with pytest.raises(ManifestInvalidError, match="more than 3 lines"):
        list(read_lines([b"\n" * 9], "jsonl"))
