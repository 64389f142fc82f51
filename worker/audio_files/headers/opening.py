"""How ffmpeg has to open a file: as it is, behind a tag that it does not skip, or beyond a size that is too small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.audio_files.headers.plain_samples import PlainSamples, find_plain_samples
from worker.audio_files.headers.riff_chunks import end_of_samples, read_riff_chunks, seconds_before_cut


@dataclass(frozen=True)
class Opening:
    """Which bytes of a file ffmpeg reads.

    `skip_bytes`: a tag or header at its start. `end_bytes`: where its samples end, if the header states too small a
    size or none, and ffmpeg must not believe it; `is_longer_than_said` if it is too small. `claimed_seconds`: the
    length by the header, if the file was cut off, which ffmpeg does not tell. `raw`: ffmpeg's options for samples that
    are read without their header. `has_more_samples`: another recording follows, which is not read.
    """

    skip_bytes: int = 0
    end_bytes: int | None = None
    is_longer_than_said: bool = False
    claimed_seconds: float | None = None
    raw: tuple[str, ...] = ()
    has_more_samples: bool = False

    def input_options(self) -> Sequence[str]:
        """Return ffmpeg's options that open file descriptor 0 in this way."""
        if not self.skip_bytes and self.end_bytes is None:
            return ("-protocol_whitelist", "fd", "-fd", "0", "-i", "fd:")
        ignored = self.raw or (("-ignore_length", "1") if self.end_bytes is not None else ())
        part = f"subfile,,start,{self.skip_bytes},end,{self.end_bytes or 0},,:fd:"
        return (*ignored, "-protocol_whitelist", "fd,subfile", "-i", part)


def plan_opening(path: Path) -> Opening:
    """Return how to open a file at the first try."""
    if plain := find_plain_samples(path):
        return _opening_of_plain_samples(plain)
    chunks = read_riff_chunks(path)
    if chunks is None:
        return Opening()
    end = end_of_samples(path, chunks)
    return Opening(
        end_bytes=end,
        is_longer_than_said=end is not None and chunks.is_size_known,
        claimed_seconds=seconds_before_cut(chunks),
        has_more_samples=chunks.has_more_samples,
    )


def _opening_of_plain_samples(found: PlainSamples) -> Opening:
    if found.claimed_bytes and not found.says_too_little and not found.ffmpeg_reads_on:
        return Opening(claimed_seconds=found.seconds_before_cut)
    return Opening(
        skip_bytes=found.start,
        end_bytes=found.end,
        is_longer_than_said=found.says_too_little,
        raw=found.format.options(),
    )


def behind_id3v2_tag(path: Path) -> Opening | None:
    """Return how to open a file whose ID3v2 tags are skipped; None if it does not begin with one.

    Some containers (Monkey's Audio, Musepack, WavPack) have no place for such a tag, and their demuxers expect none.
    """
    position = 0
    with path.open("rb") as file:
        while True:
            file.seek(position)
            head = file.read(10)
            if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:]):
                break
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            # A footer repeats the header.
            position += 10 + size + (10 if head[5] & 0x10 else 0)
    return Opening(skip_bytes=position) if 0 < position < path.stat().st_size else None
