"""Text in a CSV file is no formula, whatever separates the cells of the spreadsheet that opens it."""

from __future__ import annotations

import csv
import io

import pytest

from shared.parsing.spreadsheet_cells import harmless_cell

BEGINNINGS = "=+-@\uff1d\uff0b\uff0d\uff20"


TEXTS = [
    "{}1",
    "a;{}1",
    "a; {}1",
    "a\t{}1",
    "a\n{}1",
    'a"\r\n{}1',
    " {}1",
    "a,{}1",
    'a;"{}1',
    'a\t"{}1',
    '\n"{}1',
    'a;;""{}1',
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_no_cell_begins_like_a_formula(text: str, beginning: str, delimiter: str) -> None:
    written = io.StringIO()
    csv.writer(written).writerow([1, harmless_cell(text.format(beginning)), "end"])
    cells = [cell for row in csv.reader(io.StringIO(written.getvalue()), delimiter=delimiter) for cell in row]
    assert not [cell for cell in cells if cell.strip()[:1] in set(BEGINNINGS)]


@pytest.mark.parametrize("value", [None, 1, -1.5, "a-b", "a = b", "x (2)", "a, b", "A; B", "s3://b/-a.flac"])
def test_everything_else_stays_as_it_is(value: object) -> None:
    assert harmless_cell(value) == value


def test_a_long_run_of_blanks_is_read_once() -> None:
    """Otherwise this would take an hour."""
    assert harmless_cell("a" + "\n" * 1_000_000 + "b;=") == "a" + "\n" * 1_000_000 + "b;'="
