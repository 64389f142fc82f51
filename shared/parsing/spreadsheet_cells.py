"""Text of strangers in CSV files that people open in spreadsheets. The client imports this: standard library only."""

from __future__ import annotations

import re

FORMULA = re.compile(r"(^\s*|[;\t\r\n]\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""Where a spreadsheet may begin to read a formula. One whose cells are separated by semicolons or tabs parts a text
there and at its line breaks, also within quotes: with other separators, a quote does not begin the cell."""


def harmless_cell(value: object) -> object:
    """Return a value for a cell; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if not isinstance(value, str):
        return value
    return ("'" if value[:1] in {"\t", "\r", "\n"} else "") + FORMULA.sub(r"\1'", value)
