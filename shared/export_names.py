"""The names of exported copies: a template filled in for one stem, safe as an object's key and as a path.

Owns the template's fields and what is made of characters that a path must not have.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from shared.batch import Export
from shared.batch_objects import Item
from shared.errors import RequestInvalidError
from shared.formats import FORMATS

FIELDS = ("track", "number", "stem", "format")

FIELD = re.compile(r"\{([^{}]*)\}")

MAX_KEY_BYTES = 1024
"""What S3 allows."""

UNSAFE = frozenset('\\:*?"<>|')
"""Characters that some file system refuses in a name."""


def check_template(template: str) -> str:
    """Return the template if it can name copies. Raises RequestInvalidError."""
    unknown = [name for name in FIELD.findall(template) if name not in FIELDS]
    if unknown or set("{}") & set(FIELD.sub("", template)):
        raise RequestInvalidError(f"a template's fields are {', '.join('{' + f + '}' for f in FIELDS)}")
    if "{stem}" not in template:
        raise RequestInvalidError("without {stem} a track's stems would have one name")
    if not {"{track}", "{number}"} & {f"{{{name}}}" for name in FIELD.findall(template)}:
        raise RequestInvalidError("without {track} or {number} all tracks would have one name")
    return template


def export_key(prefix: str, template: str, values: Mapping[str, str]) -> str:
    """Return the key of a copy: no empty, hidden or climbing part, whatever a track is called.

    Raises RequestInvalidError where it would be longer than a key may be.
    """
    filled = FIELD.sub(lambda found: values[found[1]], template)
    parts = [_clean(part) for part in (*prefix.split("/"), *filled.split("/"))]
    key = "/".join(part for part in parts if part)
    if len(key.encode()) > MAX_KEY_BYTES:
        raise RequestInvalidError("The copy's name would be longer than the storage allows.")
    return key


def export_keys(export: Export, item: Item, stems: Sequence[str]) -> dict[str, str]:
    """Return the keys of the copies of an item's stems. Raises RequestInvalidError."""
    format_name = str((item.request or {}).get("format", "flac"))
    values = {"track": item.track, "number": f"{item.number:06d}", "format": FORMATS[format_name].extension}
    return {stem: export_key(export.prefix, export.template, {**values, "stem": stem}) for stem in stems}


def _clean(part: str) -> str:
    # Category C: control, format (which can turn text around), surrogate and unassigned characters.
    kept = (c for c in unicodedata.normalize("NFC", part) if unicodedata.category(c)[0] != "C")
    # Dots and blanks at either end: `..` climbs, `.name` hides, and some systems drop those at the end.
    return "".join("_" if c in UNSAFE else c for c in kept).strip(". ")
