"""Runs ffmpeg to decode a file into a WAV of 32-bit floats, within limits of time and size.

Beside the samples it writes the time of each frame, which timeline.py reads.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from shared.errors import AudioTooLongError, AudioUnreadableError, SeparationFailedError
from worker.audio_files import ffmpeg
from worker.audio_files.channel_layouts import mask_of_custom_order
from worker.audio_files.decoder_log import DecoderComplaints, read_complaints
from worker.audio_files.headers.musepack import read_musepack_span
from worker.audio_files.probe import MAX_CHANNELS, MAX_SAMPLE_RATE_HZ, Probe
from worker.audio_files.timeline import FRAME_TIME_FORMAT, MIN_STEP_SECONDS, first_frame_time
from worker.run_support.workspace import Workspace

# Wall time for the decoder: a fixed part, and a part for each second of audio. (The slowest known codec runs 60 times
# faster than real time on one busy core.) Higher values allow slower machines to decode longer files.
DECODE_SECONDS_BASE = 15.0
DECODE_SECONDS_PER_AUDIO_SECOND = 1 / 30

# If the decoder has had less than half of that as processor time, the machine is too busy; the file is not the reason.
# The decoder may then take this many times longer.
STARVED_TIMES = 10.0

# The last packet of ALAC in CAF is already as short as it should be. The container also says what to leave out of it,
# and ffmpeg would cut off the same samples twice.
TRUST_THE_PACKETS = ("-flags2", "+skip_manual")

FRAME_TIMES_NAME = "mixture.times"

# Containers of recordings, whose times may have gaps also without video.
MAY_HAVE_GAPS = ("matroska", "mov", "mpegts", "mpeg", "nut", "flv", "mxf")

# Bare packets: ffmpeg computes their times by the sample rate of the first ones.
MUSEPACK = frozenset({"mpc", "mpc8"})
WITHOUT_TIMES = MUSEPACK | {"aac", "ac3", "amr", "dts", "dtshd", "eac3", "flac", "loas", "mlp", "mp3", "truehd"}

# The header may name half of the true sample rate (SBR) and half of the channels (parametric stereo).
UNDECLARED_TIMES = 4

# The first sample of a part, and the one after its last; None: up to the end.
Span = tuple[int, int | None]


class DecoderRun:
    """One run of ffmpeg that decodes a file, within limits of time and size. `trim`: the samples to keep, None: all."""

    def __init__(
        self,
        path: Path,
        found: Probe,
        *,
        workspace: Workspace,
        trim: Span | None,
        ffmpeg_path: str | None,
        max_seconds: float,
    ) -> None:
        self._path = path
        self._found = found
        self._workspace = workspace
        self._trim = trim
        self.shift = 0
        self._ffmpeg_path = ffmpeg_path
        expected_seconds = min(found.longest_seconds or max_seconds, max_seconds)
        self._limit_seconds = DECODE_SECONDS_BASE + expected_seconds * DECODE_SECONDS_PER_AUDIO_SECOND
        # The limit is one of size, because times in the file may be false.
        known = (found.decoded_rate_hz or MAX_SAMPLE_RATE_HZ) * (found.channels or MAX_CHANNELS)
        self._most_bytes = int(4 * known * UNDECLARED_TIMES * (max_seconds + 1))

    def find_shift(self, target: Path) -> None:
        """Find out by how many samples ffmpeg's times are too early, if the audio begins later than the file.

        Of some containers it counts from the start of the file, of others from that of the streams that it decodes.
        Audio that is alone begins with its first sample: Ogg that was cut from a broadcast has times before that.
        """
        rate = self._found.decoded_rate_hz or 0
        late = round(self._found.late_seconds * rate)
        is_late = late >= MIN_STEP_SECONDS * rate
        # WMA, and Vorbis within a stream, give no samples for their first packets; this is not a gap.
        if not rate or not (is_late or self._found.container == "asf" or self._is_cut_ogg()):
            return
        self._run(target, lambda _: None, "-frames:a", "1", trim=None)
        first = first_frame_time(self._workspace.path(FRAME_TIMES_NAME))
        if first is not None and not is_late:
            self.shift = -first
        elif first is not None and first < late / 2:
            self.shift = late

    def _is_cut_ogg(self) -> bool:
        found = self._found
        is_alone = not found.has_video and found.audio_streams == 1
        return found.container == "ogg" and is_alone and found.file_start_seconds != 0

    def decode(self, target: Path, progress: Callable[[float], None]) -> DecoderComplaints:
        """Write the samples into `target`, and the times of the frames to a file beside it; return ffmpeg's log."""
        returncode = self._run(target, progress, trim=self._trim)
        complaints = read_complaints(returncode, self._workspace.path("decode.log"), target, self._found)
        if target.stat().st_size >= self._most_bytes:
            raise AudioTooLongError("The audio is longer than the limit.")
        return complaints

    def _run(self, target: Path, progress: Callable[[float], None], *options: str, trim: Span | None) -> int:
        """Run ffmpeg with these options for the output; return its exit code."""
        log_path, times_path = self._workspace.path("decode.log"), self._workspace.path(FRAME_TIMES_NAME)
        with (
            self._path.open("rb") as source,
            target.open("wb") as output,
            log_path.open("wb") as log,
            times_path.open("wb") as times,
        ):
            process = ffmpeg.start(
                [*self._arguments(times.fileno(), trim), *options, "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"],
                ffmpeg_path=self._ffmpeg_path,
                confinement=ffmpeg.Confinement(
                    cpu_seconds=int(self._limit_seconds) + 1, file_bytes=self._workspace.free_bytes()
                ),
                stdin=source,
                stdout=output,
                stderr=log,
                further=[times.fileno()],
            )
            try:
                _wait_for_decoder(process, target, found=self._found, seconds=self._limit_seconds, progress=progress)
            finally:
                process.kill()
                process.wait()
        return process.returncode

    def _arguments(self, times_descriptor: int, trim: Span | None) -> Sequence[str]:
        found = self._found
        options = TRUST_THE_PACKETS if (found.container, found.codec) == ("caf", "alac") else ()
        return [
            # At the level `info` ffmpeg says that sample rate or channels change within the file.
            *("-v", "info", "-hide_banner", "-nostats", *options, *ffmpeg.untrusted_input(found.opening)),
            *(*self._filters(trim), "-vn", "-sn", "-dn"),
            *("-map_metadata", "-1", "-fflags", "+bitexact", "-fs", str(self._most_bytes)),
            *("-stats_enc_pre:a:0", f"pipe:{times_descriptor}", "-stats_enc_pre_fmt:a:0", FRAME_TIME_FORMAT),
        ]

    def _filters(self, trim: Span | None) -> Sequence[str]:
        """Return the options that choose and join streams, convert the sample rate, and keep only a part."""
        found, indexes = self._found, self._found.stream_indexes
        filters = []
        if found.container in MUSEPACK and (
            span := read_musepack_span(self._path, skip_bytes=found.opening.skip_bytes)
        ):
            filters.append(_count_filter(*span))
        if len(indexes) > 1:
            filters.append("join=inputs=2:channel_layout=stereo:map=0.0-FL|1.0-FR")
        if mask := mask_of_custom_order(found.channel_layout):
            filters.append(f"aformat=channel_layouts={mask:#x}")
        if found.decoded_rate_hz and found.decoded_rate_hz != found.sample_rate_hz:
            filters.append(f"aresample={found.decoded_rate_hz}")
        if trim:
            filters.append(self._trim_filter(*trim))
        if len(indexes) == 1:
            return ("-map", f"0:{indexes[0]}", *(("-af", ",".join(filters)) if filters else ()))
        inputs = "".join(f"[0:{index}]" for index in indexes)
        return ("-filter_complex", f"{inputs}{','.join(filters)}[joined]", "-map", "[joined]")

    def _trim_filter(self, start: int, end: int | None) -> str:
        """Return the filter that keeps a part. Seeking would be faster but not exact: it lands on packets.

        Films and recordings may have gaps, so their parts are cut by time. Of other files samples are counted, which is
        exact; the times of Vorbis, for example, differ from the count by some milliseconds here and there.
        """
        found = self._found
        if not may_have_gaps(found):
            return _count_filter(start, end)
        # After a gap, times may be some samples off: what is too much is cut off later.
        margin = round(MIN_STEP_SECONDS * (found.decoded_rate_hz or 0))
        stop = "" if end is None else f":end_pts={end - self.shift + margin}"
        return f"atrim=start_pts={start - self.shift}{stop}"


def _count_filter(start: int, end: int | None) -> str:
    """Return the filter that keeps samples by their number."""
    return f"atrim=start_sample={start}" + ("" if end is None else f":end_sample={end}")


def has_times(found: Probe) -> bool:
    """Return whether the container says when its packets are heard. Otherwise times are computed, and may be wrong."""
    return found.container not in WITHOUT_TIMES


def may_have_gaps(found: Probe) -> bool:
    """Return whether the times in the file may have gaps that are silence."""
    return found.has_video or found.container.startswith(MAY_HAVE_GAPS)


def _wait_for_decoder(
    process: subprocess.Popen[bytes],
    target: Path,
    *,
    found: Probe,
    seconds: float,
    progress: Callable[[float], None],
) -> None:
    """Wait for the decoder, and report progress by the bytes that it has written.

    Raises AudioUnreadableError after this many seconds, or SeparationFailedError if the machine was too busy.
    """
    expected_bytes = 4 * (found.channels or 2) * (found.expected_seconds or 0.0) * (found.decoded_rate_hz or 0)
    deadline = time.monotonic() + seconds
    while True:
        if ffmpeg.wait(process, seconds=0.2):
            return
        if time.monotonic() > deadline:
            if ffmpeg.processor_seconds(process) > seconds / 2:
                raise AudioUnreadableError(f"The audio took more than {seconds:.0f} s to decode.")
            if time.monotonic() > deadline + seconds * (STARVED_TIMES - 1):
                raise SeparationFailedError("The machine was too busy to decode the audio.")
        if expected_bytes:
            progress(min(0.99, target.stat().st_size / expected_bytes))
