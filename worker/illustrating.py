"""The pictures and outlines of one run: which files there are, and what their axes mean.

Owns names and metadata; spectrogram_image.py draws and waveform.py counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from worker.measuring import SignalMeasure
from worker.probing import Probe
from worker.spectrogram_view import decibels_below
from worker.track import Track
from worker.work import OutputFile, describe_file

# How far below the mixture's peak the pictures go; quieter sounds are black.
RANGE_DB = 80.0


def prepare_frame(found: Probe, stems: Iterable[str]) -> None:
    """Draw what stands around the panels before the song is decoded, going by the rate that it claims to have."""
    from worker import spectrogram_image  # noqa: PLC0415 - see there

    if found.sample_rate_hz is not None:
        spectrogram_image.frame_around(["mixture", *stems], found.sample_rate_hz / 2)


def illustrate(
    mixture: SignalMeasure, stems: Mapping[str, SignalMeasure], track: Track, folder: Path
) -> Sequence[OutputFile]:
    """Write the spectrograms and the outlines of the mixture and of each stem; return them."""
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
    spectrogram_image.draw_panels(
        figure,
        pictures,
        edges_hz=mixture.view.edges_hz,
        start_seconds=start_seconds,
        duration_seconds=track.duration_seconds,
    )
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
