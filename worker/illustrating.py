"""The pictures and outlines of one run: which files there are, and what their axes mean.

Owns names and metadata; spectrogram_image.py draws and waveform.py counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from worker.measuring import SignalMeasure
from worker.probing import Probe
from worker.spectrogram_view import decibels_below
from worker.track import Excerpt, Track
from worker.work import OutputFile, describe_file

if TYPE_CHECKING:
    from worker.spectrogram_image import Frame

# How far below the mixture's peak the pictures go; quieter sounds are black.
RANGE_DB = 80.0


def prepare_frame(found: Probe, excerpt: Excerpt, stems: Iterable[str]) -> Frame | None:
    """Draw what can be drawn of the panels before the song is decoded, going by what it claims to be."""
    from worker import spectrogram_image  # noqa: PLC0415 - see there

    if found.sample_rate_hz is None or found.expected_seconds is None:
        return None
    duration_seconds = found.expected_seconds - excerpt.start_seconds
    if excerpt.duration_seconds is not None:
        duration_seconds = min(duration_seconds, excerpt.duration_seconds)
    if duration_seconds <= 0:
        return None
    return spectrogram_image.draw_frame(
        ["mixture", *stems],
        high_hz=found.sample_rate_hz / 2,
        start_seconds=excerpt.start_seconds,
        duration_seconds=duration_seconds,
    )


def illustrate(
    mixture: SignalMeasure, stems: Mapping[str, SignalMeasure], track: Track, folder: Path, frame: Frame | None = None
) -> Sequence[OutputFile]:
    """Write the spectrograms and the outlines of the mixture and of each stem; return them.

    A frame that was drawn before is used if it fits.
    """
    from worker import spectrogram_image  # noqa: PLC0415 - see there

    rate = track.audio.sample_rate_hz
    signals = {"mixture": mixture, **stems}
    magnitudes = {name: signal.view.magnitudes() for name, signal in signals.items()}
    peak = float(magnitudes["mixture"].max())
    # One reference for all panels, so that a quiet stem looks quiet.
    pictures = {name: decibels_below(values, peak, range_db=RANGE_DB) for name, values in magnitudes.items()}
    start_seconds = (track.audio.first_sample + track.start) / rate
    axes = {
        "range_db": RANGE_DB,
        "lowest_hz": round(float(mixture.view.edges_hz[0]), 3),
        "highest_hz": rate / 2,
        "frequency_scale": "log",
        "start_seconds": round(start_seconds, 6),
        "duration_seconds": round(track.duration_seconds, 6),
    }
    files = []
    figure = folder / "spectrogram.png"
    axis = {"high_hz": rate / 2, "start_seconds": start_seconds, "duration_seconds": track.duration_seconds}
    if frame is None or not frame.fits(list(signals), **axis):
        frame = spectrogram_image.draw_frame(list(signals), **axis)
    spectrogram_image.draw_panels(figure, frame, pictures, edges_hz=mixture.view.edges_hz)
    files.append(describe_file(figure, name="spectrogram", kind="picture", content_type="image/png", details=axes))
    for name, decibels in pictures.items():
        path = folder / f"spectrogram-{name}.png"
        spectrogram_image.write_plain(path, decibels, range_db=RANGE_DB)
        files.append(describe_file(path, name=name, kind="picture", content_type="image/png", details=axes))
    for name, signal in signals.items():
        path = folder / f"waveform-{name}.json"
        path.write_text(signal.outline.to_json(sample_rate_hz=rate), encoding="ascii")
        files.append(describe_file(path, name=name, kind="waveform", content_type="application/json"))
    return files
