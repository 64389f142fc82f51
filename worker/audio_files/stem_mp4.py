"""Joins the mix and four stems into one `.stem.mp4`, the stem file of Native Instruments, which DJ programs read.

An MP4 with five audio tracks of one codec, rate and length, in stereo. The first is the mix, which ordinary players
play; the others are disabled. `moov/udta/stem` holds JSON: names and colours of the stems, and the settings of a
compressor and a limiter, which are off here.

Sources that agree on this: Mixxx, which reads it (`src/track/steminfoimporter.cpp`: the box, its JSON, the colours that
are the default; `src/sources/soundsourcestem.cpp`: five tracks in stereo), and stempeg, which writes it
(`stempeg/write.py`, `NIStemsWriter`: the mix first, the others disabled, AAC of 256 kbit/s at 44.1 kHz). The numbers of
`mastering_dsp` are those that stemgen and the programs derived from it write.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from shared.errors import ScratchFullError, SeparationFailedError
from worker.audio_files import ffmpeg

TRACK_NAMES = ("Mix", "Drums", "Bass", "Other", "Vocals")
COLOURS = ("#009E73", "#D55E00", "#CC79A7", "#56B4E9")
"""The names of the tracks in their order, and the colours of all but the first."""

COMPRESSOR = {
    "enabled": False,
    "ratio": 3,
    "output_gain": 0.5,
    "release": 0.3,
    "attack": 0.003,
    "input_gain": 0.5,
    "threshold": 0,
    "hp_cutoff": 300,
    "dry_wet": 50,
}
LIMITER = {"enabled": False, "release": 0.05, "threshold": 0, "ceiling": -0.35}

SECONDS_TO_JOIN = 600.0
"""How long the copying of all packets may take."""

MAX_BOX_BYTES = 1 << 32
"""A box of this size needs another form of its header. Tables of five tracks get there after weeks of audio."""


TRACKS_FOLDER = "tracks"
"""Where the tracks are encoded, below the folder of the outputs."""


def join_files(tracks: Mapping[str, Path], *, ffmpeg_path: str | None) -> Mapping[str, Path]:
    """Join the encoded files in a `TRACKS_FOLDER`, and delete them. Return the stem file, named as the first of them.

    Raises ScratchFullError, SeparationFailedError.
    """
    name, first = next(iter(tracks.items()))
    target = first.parents[1] / first.name
    join_tracks(list(tracks.values()), target, ffmpeg_path=ffmpeg_path)
    shutil.rmtree(first.parent)
    return {name: target}


def join_tracks(tracks: Sequence[Path], target: Path, *, ffmpeg_path: str | None) -> None:
    """Write the stem file of five encoded files: the mix, drums, bass, other and vocals. Nothing is encoded again.

    The tracks lie in the target's folder or below. Raises ScratchFullError, SeparationFailedError.
    """
    inputs = [argument for path in tracks for argument in ("-i", f"file:{path.resolve()}")]
    maps = [argument for n in range(len(tracks)) for argument in ("-map", f"{n}:a:0")]
    names = [a for n, name in enumerate(TRACK_NAMES) for a in (f"-metadata:s:a:{n}", f"handler_name={name}")]
    # Of several tracks of a kind, ffmpeg enables the one that is the default. Without `faststart` the tables are last.
    flags = ("-disposition:a", "0", "-disposition:a:0", "default")
    log_path = target.with_name(target.name + ".log")
    with log_path.open("wb") as log:
        process = ffmpeg.start(
            [
                *("-v", "error", *inputs, *maps, "-c", "copy", "-map_metadata", "-1"),
                *(*flags, *names, "-f", "mp4", "-y", f"file:{target.resolve()}"),
            ],
            ffmpeg_path=ffmpeg_path,
            confinement=ffmpeg.Confinement(writable_folder=target.resolve().parent),
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    if not ffmpeg.wait(process, seconds=SECONDS_TO_JOIN) or process.returncode != 0:
        process.kill()
        process.wait()
        text = log_path.read_bytes()[: 1 << 16].decode("utf-8", "replace").strip()
        if "No space left on device" in text or "File too large" in text:
            raise ScratchFullError(f"{target.name} cannot be written: the disk is full.")
        raise SeparationFailedError(f"The tracks could not be joined: {text[:200] or 'no message'}")
    log_path.unlink()
    try:
        add_stem_box(target, manifest())
    except OSError as error:
        raise ScratchFullError(f"{target.name} cannot be written: the disk is full.") from error


def manifest() -> bytes:
    """Return the JSON of the `stem` box."""
    stems = [{"name": name, "color": colour} for name, colour in zip(TRACK_NAMES[1:], COLOURS, strict=True)]
    document = {"version": 1, "mastering_dsp": {"compressor": COMPRESSOR, "limiter": LIMITER}, "stems": stems}
    return json.dumps(document, separators=(",", ":")).encode()


def add_stem_box(path: Path, content: bytes) -> None:
    """Append the box `moov/udta/stem` to an MP4 file whose last box is `moov`.

    What is at the end of the file is also at the end of `moov`, and of `udta` if that comes last in `moov`, as ffmpeg
    writes it. So nothing moves, and only the sizes of these two change. Raises SeparationFailedError for other files.
    """
    with path.open("r+b") as file:
        n_bytes = file.seek(0, 2)
        moov = _last_box(file, 0, n_bytes)
        if moov is None or moov[0] != b"moov":
            raise SeparationFailedError(f"The tables of {path.name} are not at its end.")
        place = moov[1]
        last = _last_box(file, place + 8, n_bytes)
        added = _box(b"stem", content)
        grown = [place]
        if last is not None and last[0] == b"udta":
            grown.append(last[1])
        else:
            added = _box(b"udta", added)
        # Write the size before the content. If writing stops in between, the file can be recognised as too short.
        for start in grown:
            _write_size(file, start, n_bytes - start + len(added))
        file.seek(n_bytes)
        file.write(added)


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def _write_size(file: BinaryIO, start: int, size: int) -> None:
    if size >= MAX_BOX_BYTES:
        raise SeparationFailedError("The tables of the stem file are too large.")
    file.seek(start)
    file.write(struct.pack(">I", size))


def _last_box(file: BinaryIO, start: int, stop: int) -> tuple[bytes, int] | None:
    """Return name and place of the last box in this part of the file; None if it has none."""
    last = None
    for name, place in _boxes(file, start, stop):
        last = (name, place)
    return last


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int]]:
    """Yield name and place of each box. Raises SeparationFailedError if they do not end where they should."""
    while start < stop:
        file.seek(start)
        header = file.read(16).ljust(16, b"\0")
        size, name = struct.unpack(">I4s", header[:8])
        least = 8
        if size == 1:
            size, least = struct.unpack(">Q", header[8:])[0], 16
        if not least <= size <= stop - start:
            raise SeparationFailedError(f"The box {name.decode('latin-1')!r} of the MP4 file has a wrong size.")
        yield name, start
        start += size
