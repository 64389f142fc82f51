"""Walks over the packets of a file without decoding them, within a few seconds.

One ffmpeg process reads the header and all packets. It also writes the tags as text, for `tags/`: another ffmpeg
process would take a tenth of a short song's time.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import AudioUnreadableError, SeparationFailedError
from worker.audio_files import ffmpeg
from worker.audio_files.headers.opening import behind_id3v2_tag, plan_opening
from worker.audio_files.headers.probe_log import OPENED, AudioStream, LoggedFile, parse_log
from worker.run_support.workspace import Workspace

# How long the walk may take. More time counts the packets of longer files, but a refusal is promised within 5 s.
PROBE_SECONDS = 4.0

# If ffmpeg has not even opened the file by then, and has had less processor time than this, the machine is too busy;
# the file is not the reason. ffmpeg may then take this much longer.
STARVED_PROCESSOR_SECONDS = 1.0
STARVED_SECONDS = 25.0

# How much of ffmpeg's log is read. A file with a thousand tags prints all of them before its streams.
MAX_LOG_BYTES = 4 << 20

# No packet of any codec holds more sound than this; a longer time between two packets is a pause.
LONGEST_PACKET_SECONDS = 10.0

# ffmpeg finds the packets behind an ID3v2 tag, but then loses the first one.
TAG_READ_AS_SOUND = frozenset({"ac3", "eac3"})

# What ffmpeg writes for the time of a packet that has none (AV_NOPTS_VALUE).
NO_TIME = -(1 << 63)


@dataclass(frozen=True)
class Walk:
    """ffmpeg's log, where the last packet that it saw ends in seconds, and whether that was the file's last."""

    log: str
    seconds: float | None
    finished: bool


class PacketWalker:
    """Runs ffmpeg over the packets of one file without decoding them."""

    def __init__(self, path: Path, workspace: Workspace, ffmpeg_path: str | None) -> None:
        self._path = path
        self._workspace = workspace
        self._ffmpeg_path = ffmpeg_path
        self.opening = plan_opening(path)

    def open_and_walk(self) -> tuple[Walk, LoggedFile]:
        """Walk over the first audio stream. Raises AudioUnreadableError or SeparationFailedError."""
        walk = self.walk(None)
        logged = parse_log(walk.log)
        is_lost = logged is None or logged.container in TAG_READ_AS_SOUND
        if is_lost and not self.opening.skip_bytes and (opening := behind_id3v2_tag(self._path)):
            self.opening = opening
            walk = self.walk(None)
            logged = parse_log(walk.log)
        if not walk.log.startswith("ffmpeg version"):
            # Not even ffmpeg's own first line: it never ran, so the file is not the reason.
            raise SeparationFailedError("The decoder cannot be started on this worker.")
        if logged is None:
            raise AudioUnreadableError("The file cannot be read as audio.")
        if not logged.audio:
            raise AudioUnreadableError("The file contains no audio.")
        return walk, logged

    def walk(self, stream_index: int | None) -> Walk:
        """Walk over a stream, None for the first of audio, and write the tags of container and stream."""
        stream = "a:0" if stream_index is None else str(stream_index)
        with walked_tags_path(self._workspace).open("wb") as tags:
            # ffmpeg may open no file, so the descriptor for the tags is handed to it.
            written = ("-f", "ffmetadata", f"pipe:{tags.fileno()}")
            return self._run(
                # The log lists each output's tags. This output has none, so they are not listed twice.
                *("-map", f"0:{stream}", "-c", "copy", "-map_metadata", "-1", "-f", "null", "-"),
                *(*written, "-map_metadata", f"0:s:{stream}", *written),
                further=[tags.fileno()],
            )

    def picture_start(self, audio: AudioStream) -> float:
        """Return the time of the first packet of video, if that is earlier than the audio's start, else that start.

        ffmpeg has no decoders of video here, so it may not know where video begins.
        """
        start = audio.start_seconds or 0.0
        lines = self._packet_lines("-copyts", "-map", "0:v:0", "-frames:v", "1")
        first = first_packet_time(b"".join(lines))
        return start if first is None else min(start, first)

    def sound_seconds(self, stream_index: int, *, enough: float) -> float:
        """Return how much sound the packets hold, without pauses between them. Stops counting above `enough`."""
        total, previous, timebase = 0.0, 0, 1.0
        for line in self._packet_lines("-map", f"0:{stream_index}"):
            if line.startswith(b"#tb 0:"):
                numerator, denominator = line.split(b":")[1].split(b"/")
                timebase = int(numerator) / int(denominator)
            elif not line.startswith(b"#"):
                # Stream, decoding time, time, duration, bytes, checksum.
                _, at, _, duration = (int(n) for n in line.split(b",")[:4])
                total += min(timebase * (duration or max(0, at - previous)), LONGEST_PACKET_SECONDS)
                previous = at
            if total > enough:
                break
        return total

    def _packet_lines(self, *options: str) -> Iterator[bytes]:
        """Yield a line for each packet, for at most PROBE_SECONDS."""
        deadline = time.monotonic() + PROBE_SECONDS
        with self._path.open("rb") as source:
            process = ffmpeg.start(
                [
                    *("-v", "quiet", *ffmpeg.untrusted_input(self.opening), *options),
                    *("-c", "copy", "-map_metadata", "-1", "-f", "framecrc", "pipe:1"),
                ],
                ffmpeg_path=self._ffmpeg_path,
                confinement=ffmpeg.Confinement(cpu_seconds=10),
                stdin=source,
                stdout=subprocess.PIPE,
            )
            try:
                for line in process.stdout or ():
                    yield line
                    if time.monotonic() > deadline:
                        return
            finally:
                process.kill()
                process.communicate()

    def _run(self, *outputs: str, further: Sequence[int]) -> Walk:
        log_path, progress_path = self._workspace.path("probe.log"), self._workspace.path("probe.progress")
        with self._path.open("rb") as source, log_path.open("wb") as log, progress_path.open("wb") as progress:
            process = ffmpeg.start(
                ["-v", "info", "-nostats", "-progress", "pipe:1", *ffmpeg.untrusted_input(self.opening), *outputs],
                ffmpeg_path=self._ffmpeg_path,
                confinement=ffmpeg.Confinement(cpu_seconds=10, file_bytes=MAX_LOG_BYTES),
                stdin=source,
                stdout=progress,
                stderr=log,
                further=further,
            )
            try:
                ended = _wait_for_walk(process, log_path)
                ffmpeg.demand_not_killed(process.returncode)
                finished = ended and process.returncode == 0
            finally:
                process.kill()
                process.wait()
        ends = re.findall(r"^out_time_us=(\d+)$", progress_path.read_text("ascii", "replace"), re.MULTILINE)
        with log_path.open("rb") as log:
            text = log.read(MAX_LOG_BYTES).decode("utf-8", "replace")
        return Walk(text, int(ends[-1]) / 1e6 if ends else None, finished)


def first_packet_time(lines: bytes) -> float | None:
    """Return the time in seconds of the first packet in ffmpeg's list of them (framecrc); None if it has none."""
    first = re.search(rb"#tb 0: (\d+)/(\d+)\n(?:#.*\n)*0, *-?\d+, *(-?\d+),", lines)
    if first is None or int(first[3]) == NO_TIME:
        return None
    return int(first[3]) * int(first[1]) / int(first[2])


def _wait_for_walk(process: subprocess.Popen[bytes], log_path: Path) -> bool:
    """Return whether the walk ended in time. Raises SeparationFailedError if the machine was too busy to start it."""
    if ffmpeg.wait(process, seconds=PROBE_SECONDS):
        return True
    if not _is_starved(process, log_path):
        return False
    if ffmpeg.wait(process, seconds=STARVED_SECONDS):
        return True
    if _is_starved(process, log_path):
        raise SeparationFailedError("The machine was too busy to examine the file.")
    return False


def _is_starved(process: subprocess.Popen[bytes], log_path: Path) -> bool:
    """Return whether ffmpeg has not had the processor time to open its input."""
    if OPENED.search(log_path.read_bytes().decode("utf-8", "replace")):
        return False
    return ffmpeg.processor_seconds(process) < STARVED_PROCESSOR_SECONDS


def walked_tags_path(workspace: Workspace) -> Path:
    """Return the path of the tags that a finished walk has written, as ffmetadata: of the container and the stream."""
    return workspace.path("tags.txt")
