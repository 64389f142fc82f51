"""Writes the pictures and waveforms of one run, with names and metadata. `spectrogram_image` does the drawing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.audio_files.excerpt import Track
from worker.audio_files.probe import Probe
from worker.engines.interface import FloatArray
from worker.measurements.measure import PicturedSignalMeter, SignalMeter
from worker.measurements.spectrogram import decibels_below
from worker.run_messages import ProducedFile, describe_file

# How far below the mixture's peak the pictures reach. Quieter sounds are black.
RANGE_DB = 80.0


def prepare_frame(found: Probe, stems: Iterable[str]) -> None:
    """Draw the axes around the panels before the song is decoded, for the sample rate that the file declares."""
    from worker.measurements import spectrogram_image  # noqa: PLC0415 - see there

    if found.decoded_rate_hz is not None:
        spectrogram_image.frame_for(["mixture", *stems], found.decoded_rate_hz / 2)


def draw_pictures(
    mixture: PicturedSignalMeter,
    stems: Mapping[str, PicturedSignalMeter],
    mixes: Mapping[str, SignalMeter],
    track: Track,
    folder: Path,
) -> Sequence[ProducedFile]:
    """Write spectrograms and waveforms of the mixture and of each stem, and waveforms of each mix; return the files."""
    signals = {"mixture": mixture, **stems}
    magnitudes = {name: signal.view.magnitudes() for name, signal in signals.items()}
    # All panels have the same reference, so a quiet stem looks quiet.
    peak = float(magnitudes["mixture"].max())
    pictures = {name: decibels_below(values, peak, range_db=RANGE_DB) for name, values in magnitudes.items()}
    spectrograms = _write_spectrograms(pictures, mixture, track, folder)
    return [*spectrograms, *write_waveforms({**signals, **mixes}, track.audio.sample_rate_hz, folder)]


def _write_spectrograms(
    pictures: Mapping[str, FloatArray], mixture: PicturedSignalMeter, track: Track, folder: Path
) -> list[ProducedFile]:
    """Write the figure with all panels, and one plain picture for each signal."""
    from worker.measurements import spectrogram_image  # noqa: PLC0415 - see there

    axes = _describe_axes(mixture, track)
    figure = folder / "spectrogram.png"
    spectrogram_image.draw_panels(
        figure,
        pictures,
        edges_hz=mixture.view.edges_hz,
        start_seconds=track.start_seconds,
        duration_seconds=track.duration_seconds,
    )
    files = [describe_file(figure, name="spectrogram", kind="picture", content_type="image/png", details=axes)]
    for name, decibels in pictures.items():
        path = folder / f"spectrogram-{name}.png"
        spectrogram_image.write_plain_image(path, decibels, range_db=RANGE_DB)
        files.append(describe_file(path, name=name, kind="picture", content_type="image/png", details=axes))
    return files


def write_waveforms(signals: Mapping[str, SignalMeter], sample_rate_hz: int, folder: Path) -> list[ProducedFile]:
    """Write the waveform of each signal; return the files."""
    files = []
    for name, signal in signals.items():
        path = folder / f"waveform-{name}.json"
        path.write_text(signal.outline.to_json(sample_rate_hz=sample_rate_hz), encoding="ascii")
        files.append(describe_file(path, name=name, kind="waveform", content_type="application/json"))
    return files


def _describe_axes(mixture: PicturedSignalMeter, track: Track) -> dict[str, Any]:
    """Return what the axes and colours of the pictures mean."""
    return {
        "range_db": RANGE_DB,
        "lowest_hz": round(float(mixture.view.edges_hz[0]), 3),
        "highest_hz": track.audio.sample_rate_hz / 2,
        "frequency_scale": "log",
        "start_seconds": round(track.start_seconds, 6),
        "duration_seconds": round(track.duration_seconds, 6),
    }
