"""Reads stored records that another version of this software may have written.

During an upgrade, old and new processes share one Redis and one storage. A process ignores the members of a record that
it does not know, and refuses a record whose schema number is higher than its own. So a new version may add a member
that older ones can do without; any other change of a record needs a higher schema. A record has the lowest schema that
suffices, so that older processes handle whatever they can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from shared.errors import RecordTooNewError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

SCHEMA_VERSION = 3
"""The highest schema that this version writes and reads."""


def schema_of(options: Mapping[str, Any]) -> int:
    """Return the schema of a record with these members of a job's request, in their stored form.

    Schema 1 knows no mixes, no jobs without stems, no files with stems, and no source that is outputs of another job.
    Schema 2 knows no chains (jobs that others wait for, and jobs that wait for their source), and no stem files of
    another job's outputs. Processes that do not know these would run another job than was asked for.
    """
    stems, source = options.get("stems"), options.get("source") or {}
    is_stem_file = options.get("format") == "stem.mp4"
    if options.get("then") or source.get("key") == "" or "item" in source or (is_stem_file and source.get("outputs")):
        return 3
    without_stems = stems is not None and len(stems) == 0
    is_new = options.get("mixes") or without_stems or is_stem_file or source.get("job_id")
    return 2 if is_new else 1


def read_members(kind: type[T], members: Mapping[str, Any], **converted: Any) -> T:
    """Return a dataclass built from a record's members; members that the dataclass lacks are ignored.

    `converted` replaces members whose stored form is not the dataclass's form.
    """
    known = {name: members[name] for name in kind.__dataclass_fields__ if name in members}
    return kind(**{**known, **converted})


def check_schema(record: Mapping[str, Any], name: str) -> None:
    """Raise RecordTooNewError if a newer version wrote the record; `name` says which record it is.

    A record without a number has the first schema.
    """
    schema = int(record.get("schema") or 1)
    if schema > SCHEMA_VERSION:
        raise RecordTooNewError(
            f"A newer version wrote {name} (schema {schema}; this process reads up to {SCHEMA_VERSION}). "
            "Upgrade this process."
        )
