"""Decodes a file of any format into samples on the scratch disk.

ffmpeg decodes into a WAV of 32-bit floats (decoder_run.py), whose header has the true sample rate and channels. This
module then checks the result: length, shape, finite samples. What the file declares was read before (probe.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shared.errors import AudioEmptyError, AudioTooLongError, AudioTooShortError
from worker.audio_files.decoded_audio import DecodedAudio, read_wav_header, repair_samples
from worker.audio_files.decoder_log import DecoderComplaints
from worker.audio_files.decoder_run import FRAME_TIMES_NAME, DecoderRun, has_times, may_have_gaps
from worker.audio_files.probe import Probe, check_shape
from worker.audio_files.timeline import Timeline, read_timeline
from worker.run_support.workspace import Workspace

# Samples beyond this are damage, not music. Files of floats may have any scale, as long as squares do not overflow. In
# other codecs, samples 24 dB above full scale come from flipped bits.
MAX_ABSOLUTE_SAMPLE = 1e6
MAX_ABSOLUTE_SAMPLE_CODED = 16.0

# Anything shorter is a click or a broken header, and no engine can use it.
MIN_AUDIO_SECONDS = 0.01

DECODED_NAME = "mixture.wav"


def decode_file(
    path: Path,
    found: Probe,
    *,
    workspace: Workspace,
    ffmpeg_path: str | None,
    max_seconds: float,
    span_seconds: tuple[float, float | None] | None = None,
    progress: Callable[[float], None],
) -> DecodedAudio:
    """Decode the chosen audio stream, or only the part from `span_seconds[0]` to `span_seconds[1]` of its timeline.

    Raises AudioEmptyError, AudioUnreadableError, AudioUnsupportedError, AudioTooLongError or ScratchFullError, and
    SeparationFailedError if the machine is too busy.
    """
    target = workspace.path(DECODED_NAME)
    rate = found.decoded_rate_hz or 0
    first_sample, end_sample = _in_samples(span_seconds or (0.0, None), rate)
    run = DecoderRun(
        path,
        found,
        workspace=workspace,
        trim=None if span_seconds is None else (first_sample, end_sample),
        ffmpeg_path=ffmpeg_path,
        max_seconds=max_seconds,
    )
    run.find_shift(target)
    complaints = run.decode(target, progress)
    header = read_wav_header(target)
    check_shape(sample_rate_hz=header.sample_rate_hz, channels=header.channels)
    n_decoded = (target.stat().st_size - header.offset_bytes) // (4 * header.channels)
    max_samples = int(min(max_seconds * header.sample_rate_hz, workspace.max_bytes / (4 * header.channels)))
    timeline = Timeline(n_decoded)
    if has_times(found):
        timeline = read_timeline(
            workspace.path(FRAME_TIMES_NAME),
            n_decoded=n_decoded,
            sample_rate_hz=header.sample_rate_hz,
            begin=first_sample - run.shift,
            max_samples=max_samples,
        )
    workspace.path(FRAME_TIMES_NAME).unlink()
    n_samples = timeline.n_samples
    if end_sample is not None:
        n_samples = min(n_samples, end_sample - first_sample)
        if _ends_in_a_gap(found, end_sample - run.shift, complaints) and end_sample - first_sample <= max_samples:
            n_samples = end_sample - first_sample
    _check_length(
        max(n_decoded, n_samples), header.sample_rate_hz, is_excerpt=first_sample > 0, max_seconds=max_seconds
    )
    stores_floats = found.codec.startswith("pcm_f") or found.codec == "wavpack"
    bound = MAX_ABSOLUTE_SAMPLE if stores_floats else MAX_ABSOLUTE_SAMPLE_CODED
    repaired, level = repair_samples(target, header.offset_bytes, n_decoded, header.channels, bound=bound)
    return DecodedAudio(
        target,
        header.sample_rate_hz,
        header.channels,
        n_samples,
        header.offset_bytes,
        first_sample,
        repaired_samples=repaired,
        lost_packets=complaints.lost_packets,
        broke_off=complaints.broke_off,
        stopped_at_change=complaints.stopped_at_change,
        converted_parts=any(change != (header.sample_rate_hz, header.channels) for change in complaints.changes),
        song_level=level,
        timeline=timeline,
        channel_mask=header.channel_mask,
        rate_ratio=header.sample_rate_hz / found.sample_rate_hz
        if found.decoded_rate_hz != found.sample_rate_hz and found.sample_rate_hz
        else 1.0,
    )


def _ends_in_a_gap(found: Probe, end_sample: int, complaints: DecoderComplaints) -> bool:
    """Return whether what is missing before `end_sample`, by ffmpeg's times, is silence: the file goes on after it."""
    if not may_have_gaps(found) or complaints.broke_off or found.walked_seconds is None:
        return False
    return end_sample <= found.walked_seconds * (found.decoded_rate_hz or 0)


def _check_length(n_samples: int, sample_rate_hz: int, *, is_excerpt: bool, max_seconds: float) -> None:
    if n_samples == 0 and is_excerpt:
        raise AudioTooShortError("The audio ends before the excerpt begins.")
    if n_samples == 0:
        raise AudioEmptyError("The file contains no samples.")
    if n_samples < MIN_AUDIO_SECONDS * sample_rate_hz:
        raise AudioTooShortError(
            f"The audio is {1000 * n_samples / sample_rate_hz:.1f} ms long; "
            f"the minimum is {1000 * MIN_AUDIO_SECONDS:.0f} ms."
        )
    if n_samples > max_seconds * sample_rate_hz:
        raise AudioTooLongError(f"The audio is longer than the limit of {max_seconds:,.0f} s.")


def _in_samples(span_seconds: tuple[float, float | None], rate: int) -> tuple[int, int | None]:
    start, stop = span_seconds
    return round(start * rate), None if stop is None else round(stop * rate)
