"""Says tempo and key of a song in one line, for the command lines. Needs the standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def music_line(music: Mapping[str, Any] | None) -> str:
    """Return a line such as `tempo 123.9 BPM, key F# minor` for a report's `music`; empty if nothing is sure."""
    found = music or {}
    tempo, key = found.get("tempo_bpm"), found.get("key")
    parts = [f"tempo {tempo:.1f} BPM"] if tempo else []
    return ", ".join([*parts, *([f"key {key}"] if key else [])])
