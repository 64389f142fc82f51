"""Where decoded samples belong on the file's own timeline: audio may begin late, and recordings may have gaps.

ffmpeg writes the samples one after the other, and beside them a line for each frame: its time in samples, and its
length. Where a frame begins later than the one before it ends, silence belongs in between, so that stems keep step
with the picture. Times are claims of the file: a gap that would make the song longer than allowed is left out.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np

FRAME_TIME_FORMAT = "{pts} {samp}"
"""What ffmpeg writes for each frame (`-stats_enc_pre_fmt`): its time and its length, both in samples."""

# A frame that begins this much too late has been preceded by a gap. Smaller steps are rounding of timestamps.
MIN_STEP_SECONDS = 0.010

# Within the audio, gaps are filled once they amount to this much. Capture devices have jitter of some milliseconds.
MIN_GAP_SECONDS = 0.050

# So many frames in a row must be late to show a gap.
FRAMES_TO_BELIEVE = 3

# A recording with more gaps than this has no timestamps that can be believed, so none is filled.
MAX_GAPS = 10_000

# How much of the list of frames is parsed at once.
READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Gap:
    """Time without samples: how many decoded samples come before it, and its length in samples."""

    after_samples: int
    n_samples: int


@dataclass(frozen=True)
class Timeline:
    """The samples in the decoded file, and the gaps between them, in order.

    `left_out` are gaps that were not believed. `late_samples` is the gap before the first sample, 0 if there is none;
    it is one of `gaps` too.
    """

    n_decoded: int
    gaps: Sequence[Gap] = ()
    left_out: Sequence[Gap] = ()

    @property
    def n_samples(self) -> int:
        """Return the length with all gaps, in samples."""
        return self.n_decoded + sum(gap.n_samples for gap in self.gaps)

    @property
    def late_samples(self) -> int:
        """Return the length of the gap before the first sample."""
        return self.gaps[0].n_samples if self.gaps and self.gaps[0].after_samples == 0 else 0

    @cached_property
    def _places(self) -> Sequence[int]:
        """Where the runs of samples between gaps begin and the last one ends, counted in decoded samples."""
        return [0, *(gap.after_samples for gap in self.gaps), self.n_decoded]

    @cached_property
    def _shifts(self) -> Sequence[int]:
        """How much later each run of samples is on the timeline than in the decoded file."""
        return list(accumulate((gap.n_samples for gap in self.gaps), initial=0))

    def position(self, gap: Gap) -> int:
        """Return where a gap begins on the timeline, in samples."""
        return gap.after_samples + self._shifts[bisect_left(self._places, gap.after_samples, lo=1) - 1]

    def pieces(self, start: int, stop: int) -> Sequence[tuple[int, int, int]]:
        """Return where the samples from `start` to `stop` are: (place after `start`, place in the file, how many).

        What no piece covers is silence.
        """
        found = []
        # The last run that begins at `start` or before it.
        run = max(0, bisect_right(range(len(self._shifts)), start, key=lambda n: self._places[n] + self._shifts[n]) - 1)
        while run < len(self._shifts) and self._places[run] + self._shifts[run] < stop:
            shift = self._shifts[run]
            first, end = max(start, self._places[run] + shift), min(stop, self._places[run + 1] + shift)
            if first < end:
                found.append((first - start, first - shift, end - first))
            run += 1
        return found


def read_timeline(path: Path, *, n_decoded: int, sample_rate_hz: int, begin: int, max_samples: int) -> Timeline:
    """Return the timeline from ffmpeg's list of frames. `begin` is where on it the decoded part should begin.

    Gaps are kept as long as the whole has at most `max_samples`; longer ones are left out. If there are more than
    MAX_GAPS, all are left out.
    """
    found = [
        gap for gap in _find_gaps(path, sample_rate_hz=sample_rate_hz, begin=begin) if gap.after_samples < n_decoded
    ]
    longest = max_samples if len(found) <= MAX_GAPS else 0
    if n_decoded + sum(gap.n_samples for gap in found if gap.n_samples <= longest) > max_samples:
        longest = 0
    return Timeline(
        n_decoded,
        tuple(gap for gap in found if gap.n_samples <= longest),
        tuple(gap for gap in found if gap.n_samples > longest),
    )


def first_frame_time(path: Path) -> int | None:
    """Return the time of the first frame in ffmpeg's list, in samples; None if there is no frame."""
    with path.open("rb") as file:
        times, _ = _parse(file.read(READ_BYTES))
    return int(times[0]) if times.size else None


def _find_gaps(path: Path, *, sample_rate_hz: int, begin: int) -> Sequence[Gap]:
    least_step, least_gap = MIN_STEP_SECONDS * sample_rate_hz, MIN_GAP_SECONDS * sample_rate_hz
    gaps: list[Gap] = []
    # How many samples came so far, how much later they are on the timeline, and where the last frame ended.
    decoded, shift, last_end = 0, begin, begin
    with path.open("rb") as file:
        rest = b""
        while chunk := file.read(READ_BYTES):
            text, _, rest = (rest + chunk).rpartition(b"\n")
            times, lengths = _parse(text)
            if not times.size:
                continue
            ends = times + lengths
            steps = times - np.concatenate(([last_end], ends[:-1]))
            starts = decoded + np.concatenate(([0], np.cumsum(lengths)[:-1]))
            offsets = times - starts
            for index in np.flatnonzero((steps >= least_step) | (steps <= -sample_rate_hz)):
                # Where Vorbis changes its block size, the time of a single frame is off.
                lag = int(offsets[index : index + FRAMES_TO_BELIEVE].min()) - shift
                if steps[index] < 0:
                    # Times begin again, as where two recordings follow each other in one file.
                    shift += lag
                elif lag >= (least_gap if starts[index] else least_step):
                    gaps.append(Gap(int(starts[index]), lag))
                    shift += lag
            decoded, last_end = int(starts[-1] + lengths[-1]), int(ends[-1])
    return gaps


def _parse(
    text: bytes,
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return the times and lengths of the frames in whole lines of ffmpeg's list."""
    numbers = np.array(text.split(), dtype=np.bytes_)
    try:
        pairs = numbers.astype(np.int64)
    except ValueError:
        # A line that was cut off, or says that the time is not known.
        pairs = np.array([n for line in text.split(b"\n") for n in _numbers(line)], dtype=np.int64)
    pairs = pairs[: pairs.size // 2 * 2].reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _numbers(line: bytes) -> Sequence[int]:
    words = line.split()
    try:
        return [int(word) for word in words] if len(words) == 2 else []
    except ValueError:
        return []
