"""What the decoder logged about a file: packets that it could not decode, where it stopped, and changes within it."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path

from shared.errors import AudioTooLongError, AudioUnreadableError, AudioUnsupportedError, ScratchFullError
from worker.audio_files import ffmpeg
from worker.audio_files.headers.probe_log import channels_of_layout
from worker.audio_files.probe import Probe

# How much of the log is read. It begins with all tags of the file.
MAX_LOG_BYTES = 4 << 20

# What ffmpeg logs once for each packet that gave no samples.
PACKET_LOST = ("Error submitting packet to decoder", "Decoding error")

# What ffmpeg logs once when it cannot read on although there is more, as where Ogg streams change their channels.
BROKE_OFF = "Error during demuxing"
STOPPED_AT_CHANGE = re.compile("(?:Channel|Sample rate) change is not supported|failed to create or replace stream")

# What ffmpeg logs when a decoder gives other samples than before. They are then converted to the first kind.
CHANGED = re.compile(r"because audio parameters changed to (\d+) Hz, (.+), \w+$", re.MULTILINE)


@dataclass(frozen=True)
class DecoderComplaints:
    """What the decoder logged about the file: packets that it could not decode, and whether it had to stop early.

    `changes` has the sample rate and the channels of later parts of the file, None for a rare layout.
    `stopped_at_change`: it stopped where they change.
    """

    lost_packets: int
    broke_off: bool
    changes: frozenset[tuple[int, int | None]] = frozenset()
    stopped_at_change: bool = False


def read_complaints(returncode: int, log_path: Path, target: Path, found: Probe) -> DecoderComplaints:
    """Return what the decoder complained about, or raise the error that it ended with.

    A damaged file may end in an error and still give minutes of music. Then the report says what is missing.
    """
    ffmpeg.demand_not_killed(returncode)
    with log_path.open("rb") as log:
        lines = log.read(MAX_LOG_BYTES).decode("utf-8", "replace").split("\n")
    # Tags and streams are indented, and tags may say anything.
    text = "\n".join(line for line in lines if not line.startswith(" "))
    if returncode == -signal.SIGXFSZ or "File too large" in text:
        raise AudioTooLongError("The decoded audio has more bytes than one job may use.")
    if "No space left on device" in text:
        raise ScratchFullError("The worker's scratch disk is full.")
    if target.stat().st_size == 0 and not found.streams[found.audio_stream - 1].can_decode:
        raise AudioUnsupportedError(f"The codec of the audio ({found.codec}) is not supported.")
    if target.stat().st_size == 0:
        raise AudioUnreadableError("The audio cannot be decoded.")
    return DecoderComplaints(
        lost_packets=sum(text.count(words) for words in PACKET_LOST),
        broke_off=BROKE_OFF in text,
        changes=frozenset((int(rate), channels_of_layout(layout)) for rate, layout in CHANGED.findall(text)),
        stopped_at_change=bool(STOPPED_AT_CHANGE.search(text)),
    )
