"""What a catalog leaves out: files that are surely no audio, and folders that are not searched."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.audio.names import LeftOut

LINK, SPECIAL, STEMS = "link", "special", "stems"

REASONS: Mapping[str, str] = {
    LeftOut.OTHER: "not audio by name",
    LeftOut.SYSTEM: "kept by an operating system, a file server or a program for itself",
    LINK: "a link to a folder, which is not followed",
    SPECIAL: "neither a file nor a folder",
    STEMS: "the output of a run",
}
"""Why something is left out, in words."""


@dataclass(frozen=True)
class LeftOutPath:
    """A file or folder that is left out, or some objects of a bucket; `files` is how many files these are."""

    path: str
    reason: str
    files: int = 1


def count_files(folder: str) -> int:
    """Return the number of files below a folder; folders that cannot be read count as empty."""
    return sum(len(files) for _, _, files in os.walk(folder))


def of_batches(batches: Iterable[Mapping[str, Any]]) -> list[LeftOutPath]:
    """Return what servers left out of prefixes, by the JSON of their batches; servers before version 1 do not tell."""
    found = [reason for batch in batches for reason in batch.get("left_out") or ()]
    return [LeftOutPath(", ".join(r["examples"]), r["reason"], r["count"]) for r in found]


def summarise(left_out: Iterable[LeftOutPath]) -> dict[str, tuple[int, list[str]]]:
    """Return for each reason the number of files and a few paths."""
    summary: dict[str, tuple[int, list[str]]] = {}
    for item in left_out:
        files, paths = summary.get(item.reason, (0, []))
        summary[item.reason] = (files + item.files, paths if len(paths) > 4 else [*paths, item.path])
    return summary
