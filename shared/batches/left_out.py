"""Counts the objects below a prefix that are not taken as songs, with some of their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.audio.names import LeftOut

MAX_EXAMPLES = 10
"""How many names are kept of each reason. Raising it makes batches' records larger."""

MAX_EXAMPLE_CHARACTERS = 200


@dataclass
class LeftOutObjects:
    """How many objects were left out for each reason, and the names of the first ones."""

    counts: dict[LeftOut, int] = field(default_factory=dict)
    examples: dict[LeftOut, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The number of objects."""
        return sum(self.counts.values())

    def add(self, reason: LeftOut, name: str) -> None:
        """Count an object."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        named = self.examples.setdefault(reason, [])
        if len(named) < MAX_EXAMPLES:
            named.append(name[:MAX_EXAMPLE_CHARACTERS])

    def to_json(self) -> dict[str, dict[str, Any]]:
        """Return the counts as JSON values, by reason."""
        return {r.value: {"count": n, "examples": list(self.examples[r])} for r in LeftOut if (n := self.counts.get(r))}

    @classmethod
    def from_json(cls, values: Mapping[str, Mapping[str, Any]] | None) -> LeftOutObjects:
        """Read what `to_json` wrote; reasons that a newer version added are ignored."""
        known = {reason: (values or {}).get(reason.value) for reason in LeftOut}
        return cls(
            {reason: int(found["count"]) for reason, found in known.items() if found},
            {reason: list(found["examples"]) for reason, found in known.items() if found},
        )
