"""Reads names of files that are not UTF-8, as old disks and archives have them. The client imports this module."""

from __future__ import annotations

import os


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
