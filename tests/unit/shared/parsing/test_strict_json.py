"""JSON that could not be serialised again is refused."""

from __future__ import annotations

import json

import pytest

from shared.parsing.strict_json import MAX_DEPTH, read_json


@pytest.mark.parametrize(
    "text",
    [
        *("NaN", '{"a": [Infinity]}', "-Infinity", "1e999", '{"a": -1e999}', "9" * 5000),
        *('"\\ud800"', '{"\\udfff": 1}', "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "[" * 100_000, "", "{", "'a'"),
        b"\xff",
        *('{"a": 1, "a": 1}', '[{"b": {"a": 1, "a": 2}}]'),
    ],
)
def test_what_no_answer_could_hold_is_refused(text: str | bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        read_json(text)


@pytest.mark.parametrize(
    "text",
    ['{"a": [1, 2.5e-3, null, true, "\\ud83d\\ude00 \\u0000"]}', "[]", "7", '"a"', "[" * MAX_DEPTH + "]" * MAX_DEPTH],
)
def test_all_else_is_read_as_ever(text: str) -> None:
    assert read_json(text) == read_json(text.encode()) == json.loads(text)
