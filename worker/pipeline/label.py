"""Completes the encoded files: finds tempo, beats and key; writes beats, tags, and what a broadcast WAV had."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.audio.formats import Encoding
from worker.audio_files.broadcast_chunks import keep_broadcast_chunks
from worker.audio_files.channel_layouts import LayoutChange
from worker.audio_files.excerpt import Track
from worker.audio_files.tags.fields import Tags
from worker.audio_files.tags.writing import write_tags
from worker.measurements.measure import TrackMeters
from worker.measurements.music.meter import MusicFindings, MusicMeter
from worker.measurements.music.outputs import tags_with_music, write_beats
from worker.run_messages import ProducedFile, Work, describe_file


@dataclass(frozen=True)
class EncodedStems:
    """The finished files of the stems and mixes, what was measured on the way, and the gain that all of them got.

    `exact` is false if the stems were buffered in 16 bits.
    """

    paths: Mapping[str, Path]
    encoding: Encoding
    layout: LayoutChange
    meters: TrackMeters
    music: MusicMeter | None
    gain: float
    exact: bool


@dataclass(frozen=True)
class LabelledStems:
    """The files of a run when all but the report is written, what is known of the music, and notes on failed tags."""

    stem_files: Sequence[ProducedFile]
    pictures: Sequence[ProducedFile]
    beats: Sequence[ProducedFile]
    music: MusicFindings | None
    notes: Sequence[str]


def label_files(work: Work, track: Track, encoded: EncodedStems, tags: Tags | None, folder: Path) -> LabelledStems:
    """Write beats and tags; return the complete files, without pictures yet, and what is known of the music.

    `tags` are those of the source, or None if they could not be read. `folder` is the output folder.
    """
    music, start_seconds = None, track.start_seconds
    if encoded.music:
        music = encoded.music.findings(start_seconds=start_seconds)
        tags = tags_with_music(tags, music)
    stem_files, notes = complete_files(
        work,
        encoded.paths,
        tags,
        encoding=encoded.encoding,
        mixes=encoded.meters.mixes.keys(),
        rate_ratio=track.audio.rate_ratio,
        start_sample=track.audio.first_sample + track.start,
    )
    beats = write_beats(music, folder, start_seconds=start_seconds) if music else []
    return LabelledStems(stem_files, [], beats, music, notes)


def complete_files(
    work: Work,
    paths: Mapping[str, Path],
    tags: Tags | None,
    *,
    encoding: Encoding,
    mixes: Collection[str],
    source: Path | None = None,
    rate_ratio: float = 1.0,
    start_sample: int = 0,
) -> tuple[Sequence[ProducedFile], Sequence[str]]:
    """Write the tags into the files, which are then complete; return the files and notes on failures.

    `paths` are the files by name; those named in `mixes` are mixes, the others stems. The chunks of a broadcast WAV
    come from `source` (None: the mixture). `start_sample` is where the files begin in it, at their own sample rate,
    which is `rate_ratio` times that of the source.
    """
    if work.format == "wav":
        source = source or Path(work.input_path)
        keep_broadcast_chunks(source, paths.values(), rate_ratio=rate_ratio, start_sample=start_sample)
    notes = write_tags(work, tags, paths)
    content_type = encoding.format.content_type
    files = [
        describe_file(path, name=name, kind="mix" if name in mixes else "stem", content_type=content_type)
        for name, path in paths.items()
    ]
    return files, notes
