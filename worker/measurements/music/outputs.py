"""Writes what was found of the music: the beats as a file, and tempo and key as tags of the stems."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from worker.audio_files.tags.fields import Tags
from worker.measurements.music.key import tag_of_key
from worker.measurements.music.meter import MusicFindings
from worker.run_messages import ProducedFile, describe_file


def write_beats(music: MusicFindings, folder: Path, *, start_seconds: float) -> Sequence[ProducedFile]:
    """Write `beats.json` and return its description; nothing if there are no beats.

    `start_seconds` is where the stems begin on the song's timeline, on which the beats are given.
    """
    if not len(music.beats):
        return []
    document = {
        "tempo_bpm": music.tempo_bpm,
        "start_seconds": round(start_seconds, 6),
        "beats": [round(float(seconds), 3) for seconds in music.beats],
    }
    path = folder / "beats.json"
    path.write_text(json.dumps(document, separators=(",", ":")), encoding="ascii")
    return [describe_file(path, name="beats", kind="beats", content_type="application/json")]


def tags_with_music(tags: Tags | None, music: MusicFindings) -> Tags | None:
    """Return the tags with tempo and key where the source has none. If its tags could not be read, there are none."""
    if tags is None:
        return None
    found: dict[str, tuple[str, ...]] = {}
    if music.tempo_bpm is not None:
        # ID3 and MP4 hold whole numbers only.
        found["bpm"] = (str(round(music.tempo_bpm)),)
    if music.key is not None:
        found["key"] = (tag_of_key(music.key),)
    return replace(tags, fields={**found, **tags.fields})
