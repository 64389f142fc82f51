"""A manifest's lines: the same however its bytes come, and from wherever reading goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.batches.manifest_format import MAX_LINE_BYTES, ManifestLine, read_header, read_lines
from shared.errors import ManifestInvalidError

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
            "excerpt": {"start_seconds": "1.5"},
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
