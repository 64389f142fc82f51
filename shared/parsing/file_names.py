"""What names of files and objects must not contain, and how those that are not UTF-8 or too long are read.

The client imports this: standard library only.
"""

from __future__ import annotations

import os
import unicodedata

UNSAFE_CHARACTERS = frozenset('<>:"|?*\\')
"""Characters that Windows, FAT memory cards and SMB shares do not allow in names."""

RESERVED_NAMES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
"""Names of devices on Windows, also with an extension: no file may have them."""

MAX_FILENAME_CHARACTERS = 200
"""How long a song's name may be; what is longer is cut before its extension."""


def visible_name(name: str) -> str:
    """Return a name in the normal form NFC, without invisible characters.

    These are Unicode's category C: control characters, format characters (which can reverse text), surrogates and
    unassigned characters.
    """
    return "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c)[0] != "C")


def readable_name(name: str) -> str:
    """Return a file's name or path, as Python has it from the system, as text that UTF-8 and JSON can hold.

    A name that is not UTF-8 is read as Windows-1252, the usual code page of such names, or else as Latin-1.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        pass
    else:
        return name
    try:
        raw = os.fsencode(name)
    except UnicodeEncodeError:
        # Not from the system: half a character, which JSON can bring.
        return name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def clean_filename(name: str) -> str:
    """Return a file name that can be shown and sent in a header: no path, no control characters, limited length."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    shown = visible_name(base).strip()
    if len(shown) > MAX_FILENAME_CHARACTERS:
        stem, dot, extension = shown.rpartition(".")
        keep = MAX_FILENAME_CHARACTERS - len(extension) - 1
        shown = f"{stem[:keep]}{dot}{extension}" if stem and keep > 0 else shown[:MAX_FILENAME_CHARACTERS]
    return shown if shown.strip(".") else "audio"
