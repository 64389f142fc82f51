"""One track of a catalog, as a folder or a manifest names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_TRACK_CHARACTERS = 500
"""Longer names are cut; what a track is called is for people, and its number tells it apart."""


class SourceError(Exception):
    """The catalog cannot be read at all; one sentence."""


@dataclass(frozen=True)
class Item:
    """A track: a file here or on the web, or a `source` that the server finds; or a line that cannot be read, and why.

    `ident` is the same each time the catalog is read, and belongs to no other track of it.
    """

    ident: str
    track: str
    line: int | None = None
    path: Path | None = None
    url: str | None = None
    source: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


def digest(*parts: object) -> str:
    """Return a short name for values, the same each time."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def sendable(text: str) -> str:
    """Return a name as text that JSON can carry: bytes that are no UTF-8 become a mark, and it is not too long."""
    clean = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return clean[:MAX_TRACK_CHARACTERS]
