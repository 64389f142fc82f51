"""Strict parsing of client JSON: everything accepted can be serialised again unchanged.

Refuses what Python reads beyond the standard (NaN, infinities), what parsers disagree about (duplicate names in an
object), and what cannot be serialised (lone surrogates, very deep nesting).
"""

from __future__ import annotations

import json

MAX_DEPTH = 64
"""How deep lists and objects may be nested; JSON writers fail at about 250."""


def read_json(text: str | bytes) -> object:
    """Return the parsed value. Raises ValueError for invalid JSON; may raise RecursionError."""
    value: object = json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)
    # Refuses numbers that are too large for a float, which became infinite, and lone surrogates.
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    level, depth = [value], 0
    while level := [part for whole in level for part in _parts(whole)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("an object has the same name twice")
    return values


def _parts(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _refuse(constant: str) -> None:
    raise ValueError(constant)
