"""JSON of clients, so strict that what is taken can be told again: in answers, in reports, to any other reader of JSON.

Owns what Python reads beyond the standard (NaN, infinities), what readers disagree about (a name twice in an object),
and what no answer could hold (half characters, endless nesting): each is no JSON here.
"""

from __future__ import annotations

import json

MAX_DEPTH = 64
"""How deep lists and objects may lie in each other; writers of JSON give up at some 250."""


def read_json(text: str | bytes) -> object:
    """Return what the text says. Raises ValueError for what is no JSON, RecursionError perhaps too."""
    value: object = json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)
    # Numbers too large for a float have become infinite; half a character is an escape without its other half.
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
        raise ValueError("a name is there twice")
    return values


def _parts(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _refuse(constant: str) -> None:
    raise ValueError(constant)
