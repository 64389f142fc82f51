"""The names of exported copies: a template filled in for one stem, safe as an object's key and as a path.

Owns the template's fields, what is made of characters that a path must not have, and what becomes of two tracks of a
batch whose copies would have one name.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from shared.audio_formats import FORMATS
from shared.batches.model import Export
from shared.batches.stored_items import StoredItem
from shared.errors import RequestInvalidError

FIELDS = ("track", "number", "stem", "format")

FIELD = re.compile(r"\{([^{}]*)\}")

MAX_KEY_BYTES = 1024
"""What S3 allows."""

MARK_BYTES = 8
"""Of a digest that stands for a name; were two alike by chance, a track would get its number without need."""

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


def export_keys(export: Export, item: StoredItem, stems: Sequence[str]) -> dict[str, str]:
    """Return the keys of the copies of an item's stems. Raises RequestInvalidError."""
    format_name, track = str((item.request or {}).get("format", "flac")), item.export_track or item.track
    values = {"track": track, "number": f"{item.number:06d}", "format": FORMATS[format_name].extension}
    return {stem: export_key(export.prefix, export.template, {**values, "stem": stem}) for stem in stems}


def told_apart(
    export: Export, items: Sequence[StoredItem], taken: Callable[[Sequence[str]], Sequence[bool]]
) -> tuple[list[StoredItem], list[str]]:
    """Return items of which no two have copies of one name, and marks of all their names.

    The first of a name keeps it, others get their number behind it: whoever reads the same lines again comes to the
    same names. `taken` tells which marks are those of earlier items.
    """
    named, marks = list(items), dict[str, None]()
    unsettled = list(range(len(items)))
    while unsettled:
        wanted = [(place, mark) for place in unsettled if (mark := _mark(export, named[place]))]
        of_earlier = taken([mark for _, mark in wanted])
        unsettled = []
        for (place, mark), is_taken in zip(wanted, of_earlier, strict=True):
            if is_taken or mark in marks:
                item = named[place]
                named[place] = replace(item, export_track=f"{item.export_track or item.track} ({item.number})")
                unsettled.append(place)
            marks[mark] = None
    return named, list(marks)


def marks_of(export: Export, items: Sequence[StoredItem]) -> list[str]:
    """Return marks of the names that items have been given."""
    return [mark for item in items if (mark := _mark(export, item))]


def _mark(export: Export, item: StoredItem) -> str | None:
    """Return a short text that stands for the name of an item's copies; None where it will have none."""
    if item.error or "{number}" in export.template:
        return None
    try:
        (key,) = export_keys(export, item, ["stem"]).values()
    except RequestInvalidError:
        return None
    return hashlib.blake2b(key.encode(), digest_size=MARK_BYTES).hexdigest()


def _clean(part: str) -> str:
    # Category C: control, format (which can turn text around), surrogate and unassigned characters.
    kept = (c for c in unicodedata.normalize("NFC", part) if unicodedata.category(c)[0] != "C")
    # Dots and blanks at either end: `..` climbs, `.name` hides, and some systems drop those at the end.
    return "".join("_" if c in UNSAFE else c for c in kept).strip(". ")
