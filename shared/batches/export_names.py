"""Makes the keys of exported stems from a template, safe as object keys and as paths.

If two tracks of a batch would get the same key, the later one gets its number appended.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from shared.audio.formats import FORMATS
from shared.batches.model import Export
from shared.batches.stored_items import StoredItem
from shared.errors import RequestInvalidError
from shared.parsing.file_names import UNSAFE_CHARACTERS, visible_name

FIELDS = ("track", "number", "stem", "format")

FIELD = re.compile(r"\{([^{}]*)\}")

MAX_KEY_BYTES = 1024
"""The longest key that S3 allows."""

MARK_BYTES = 8
"""Bytes of the digest that marks a name as taken. If two digests were equal by chance, a track would get its number
appended without need."""


def check_template(template: str) -> str:
    """Return the template if it is valid. Raises RequestInvalidError."""
    unknown = [name for name in FIELD.findall(template) if name not in FIELDS]
    if unknown or set("{}") & set(FIELD.sub("", template)):
        raise RequestInvalidError(f"use only the fields {', '.join('{' + f + '}' for f in FIELDS)}")
    if "{stem}" not in template:
        raise RequestInvalidError("add {stem}: without it, all stems of a track would have the same name")
    if not {"{track}", "{number}"} & {f"{{{name}}}" for name in FIELD.findall(template)}:
        raise RequestInvalidError("add {track} or {number}: without them, all tracks would have the same name")
    return template


def export_key(prefix: str, template: str, values: Mapping[str, str]) -> str:
    """Return the key of an exported stem. It has no empty part, no `..` and no hidden name, whatever the track's name.

    Raises RequestInvalidError if the key is too long.
    """
    filled = FIELD.sub(lambda found: values[found[1]], template)
    parts = [_clean(part) for part in (*prefix.split("/"), *filled.split("/"))]
    key = "/".join(part for part in parts if part)
    if len(key.encode()) > MAX_KEY_BYTES:
        raise RequestInvalidError(
            "The exported stem's key is too long for the storage. Use shorter track names or a shorter prefix."
        )
    return key


def export_keys(export: Export, item: StoredItem, stems: Sequence[str]) -> dict[str, str]:
    """Return the keys of an item's exported stems. Raises RequestInvalidError."""
    format_name, track = str((item.request or {}).get("format", "flac")), item.export_track or item.track
    values = {"track": track, "number": f"{item.number:06d}", "format": FORMATS[format_name].extension}
    return {stem: export_key(export.prefix, export.template, {**values, "stem": stem}) for stem in stems}


def with_distinct_names(
    export: Export, items: Sequence[StoredItem], taken: Callable[[Sequence[str]], Sequence[bool]]
) -> tuple[list[StoredItem], list[str]]:
    """Return the items with distinct export names, and the marks of these names.

    The first item with a name keeps it; later ones get their number appended. Reading the same lines again gives the
    same names. `taken` returns which marks belong to earlier items.
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
    """Return the marks of the items' export names."""
    return [mark for item in items if (mark := _mark(export, item))]


def _mark(export: Export, item: StoredItem) -> str | None:
    """Return the mark of an item's export name; None if it needs none."""
    if item.error or "{number}" in export.template:
        return None
    try:
        (key,) = export_keys(export, item, ["stem"]).values()
    except RequestInvalidError:
        return None
    return hashlib.blake2b(key.encode(), digest_size=MARK_BYTES).hexdigest()


def _clean(part: str) -> str:
    # Strip dots and blanks: `..` leaves the folder, `.name` is hidden, and some systems drop them at the end.
    return "".join("_" if c in UNSAFE_CHARACTERS else c for c in visible_name(part)).strip(". ")
