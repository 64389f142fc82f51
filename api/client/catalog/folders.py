"""Names the output folders of tracks.

A name never leads out of the output folder, is valid on all common file systems, and is unique even where file names
are case-insensitive. This module does not access the disk.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

from shared.audio.formats import FORMATS
from shared.parsing.file_names import RESERVED_NAMES, UNSAFE_CHARACTERS

MAX_PART_BYTES = 140
"""The limit of encrypted file systems (eCryptfs); others allow 255."""

MAX_PATH_BYTES = 1000
"""Leaves room for the path of the output folder."""

FILE_SUFFIXES = (*(f".{f.extension}" for f in FORMATS.values()), ".csv")
"""The extensions of the files that a run writes. No folder name ends in one, so a folder never blocks a file."""


class FolderNames:
    """Gives each track a folder of its own. `taken` are the names that are already used."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {_comparable(name) for name in taken}
        self._next: dict[str, int] = {}

    def name_for(self, track: str) -> str:
        """Return the folder name for a new track, with a number if the name is already used."""
        wanted = folder_name(track)
        name, key = wanted, _comparable(wanted)
        while _comparable(name) in self._taken:
            self._next[key] = self._next.get(key, 1) + 1
            name = f"{wanted} ({self._next[key]})"
        self._taken.add(_comparable(name))
        return name


def folder_name(track: str) -> str:
    """Return a relative path for a track. Slashes in its name separate folders."""
    parts = [_part(part) for part in track.split("/") if part.strip()]
    if len("/".join(parts).encode()) > MAX_PATH_BYTES:
        parts = [_shortened("_".join(parts))]
    return "/".join(parts) or "track"


def _part(name: str) -> str:
    name = unicodedata.normalize("NFC", name)
    name = "".join(
        " " if c.isspace() else c if c.isprintable() and c not in UNSAFE_CHARACTERS else "_" for c in name
    ).strip()
    if name.startswith("."):
        # Not `..`, and not a hidden folder such as the state folder.
        name = "_" + name[1:]
    name = name.rstrip(". ") or "_"
    if name.lower().endswith(FILE_SUFFIXES) or name.lower().partition(".")[0] in RESERVED_NAMES:
        name += "_"
    return _shortened(name)


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_PART_BYTES:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: MAX_PART_BYTES - 9].decode(errors="ignore").rstrip(". ") + "~" + mark


def _comparable(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
