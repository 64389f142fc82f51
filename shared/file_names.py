"""What names of files, folders and objects must not contain. The client imports this: standard library only."""

from __future__ import annotations

import unicodedata

UNSAFE_CHARACTERS = frozenset('<>:"|?*\\')
"""Characters that Windows, FAT memory cards and SMB shares do not allow in names."""


def visible_name(name: str) -> str:
    """Return a name in the normal form NFC, without invisible characters.

    These are Unicode's category C: control characters, format characters (which can reverse text), surrogates and
    unassigned characters.
    """
    return "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c)[0] != "C")
