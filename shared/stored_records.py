"""Reads stored records that another version of this software may have written.

During an upgrade, old and new processes share one Redis and one storage. A process ignores the members of a record that
it does not know, and refuses a record whose schema number is higher than its own. So a new version may add a member
that older ones can do without; any other change of a record needs a higher SCHEMA_VERSION.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from shared.errors import RecordTooNewError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

SCHEMA_VERSION = 1
"""The schema of the records that this version writes, and the highest that it reads."""


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
