"""What a track's folder is called: a path below the output folder, whatever the track is called.

Never touches the disk. A name never leaves its folder, is one that every usual file system takes, and
belongs to one track, even where capital letters do not count.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

from shared.audio_formats import FORMATS

MAX_PART_BYTES = 140
"""Encrypted file systems take no more; the others take 255."""

MAX_PATH_BYTES = 1000
"""Leaves room for the output folder before it."""

REFUSED = frozenset('<>:"\\|?*')
"""Not to be had in names on Windows' file systems, memory cards and shares of such."""

RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})

FILE_SUFFIXES = (*(f".{f.extension}" for f in FORMATS.values()), ".csv")
"""How the files written here end. No folder does, so none takes the place of a file."""


class FolderNames:
    """Gives each track a folder of its own; `taken` are those that were given before."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {_alike(name) for name in taken}
        self._next: dict[str, int] = {}

    def take(self, track: str) -> str:
        """Return a folder for a track, numbered where the name is taken."""
        wanted = folder_name(track)
        name, key = wanted, _alike(wanted)
        while _alike(name) in self._taken:
            self._next[key] = self._next.get(key, 1) + 1
            name = f"{wanted} ({self._next[key]})"
        self._taken.add(_alike(name))
        return name


def folder_name(track: str) -> str:
    """Return a relative path for a track; its slashes make folders."""
    parts = [_part(part) for part in track.split("/") if part.strip()]
    if len("/".join(parts).encode()) > MAX_PATH_BYTES:
        parts = [_shortened("_".join(parts))]
    return "/".join(parts) or "track"


def _part(name: str) -> str:
    name = unicodedata.normalize("NFC", name)
    name = "".join(" " if c.isspace() else c if c.isprintable() and c not in REFUSED else "_" for c in name).strip()
    if name.startswith("."):
        # Neither the folder above nor a hidden one, as ours is.
        name = "_" + name[1:]
    name = name.rstrip(". ") or "_"
    if name.lower().endswith(FILE_SUFFIXES) or name.lower().partition(".")[0] in RESERVED:
        name += "_"
    return _shortened(name)


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_PART_BYTES:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: MAX_PART_BYTES - 9].decode(errors="ignore").rstrip(". ") + "~" + mark


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
