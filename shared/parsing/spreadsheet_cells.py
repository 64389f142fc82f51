"""Text of strangers in CSV files that people open in spreadsheets. The client imports this: standard library only."""

from __future__ import annotations

import re

FORMULA = re.compile(r"""(?<![\s";])([\s";]*+)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")
"""What a formula begins with, and all blanks, quotes and semicolons before it. Begins only where these begin, so long
runs of them are read once."""

SEPARATORS = frozenset(";\t\r\n")
"""Where a spreadsheet may begin a new cell, also within quotes: if its cells are separated by semicolons or tabs, the
quotes of this file do not begin a cell for it."""


def harmless_cell(value: object) -> object:
    """Return a value for a cell; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if not isinstance(value, str):
        return value
    return ("'" if value[:1] in {"\t", "\r", "\n"} else "") + FORMULA.sub(_with_apostrophe, value)


def _with_apostrophe(found: re.Match[str]) -> str:
    begins_cell = found.start() == 0 or not SEPARATORS.isdisjoint(found[1])
    return f"{found[1]}'" if begins_cell else found[1]
