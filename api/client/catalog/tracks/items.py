"""One track of a catalog, as a folder or a manifest lists it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.parsing.file_names import readable_name

MAX_TRACK_CHARACTERS = 500
"""Longer names are cut. Tracks are identified by their number, not by their name."""


class SourceError(Exception):
    """The catalog cannot be read; the message is one sentence."""


@dataclass(frozen=True)
class CatalogItem:
    """A track: a file (`path`), a song on the web (`url`) or a `source` that the server reads; or an invalid line.

    `ident` is unique in the catalog, and the same each time the catalog is read. `error` says why a line is invalid.
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
    """Return a stable hash of JSON values, 32 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def sendable(text: str) -> str:
    """Return a name that JSON can contain: one that is not UTF-8 is read as Windows-1252, and long names are cut."""
    return readable_name(text)[:MAX_TRACK_CHARACTERS]
