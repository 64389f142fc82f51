"""The figure of panels: sound at some time and frequency is bright at that place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from worker.measurements import spectrogram_image
from worker.measurements.spectrogram_image import (
    COLOURS_IN_PANELS,
    FRAMES_KEPT,
    GREYS,
    LOWEST_HZ,
    FigureFrame,
    draw_panels,
    frame_for,
)

BANDS, COLUMNS = 256, 300
EDGES_HZ = np.geomspace(32.7, 22_050, BANDS + 1)
HALF_A_MINUTE = {"start_seconds": 0.0, "duration_seconds": 30.0}


def panel_pixels(path: Path, decibels: np.ndarray) -> np.ndarray:
    """Return the brightness of the pixels inside the only panel, shape (rows, columns)."""
    draw_panels(path, {"mixture": decibels}, edges_hz=EDGES_HZ, **HALF_A_MINUTE)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L")).astype(int)
    height, width = pixels.shape
    # The place of the panel by the figure's margins, without its border.
    return pixels[38 : height - 58, int(0.08 * width) + 3 : int(0.88 * width) - 3]


def silence() -> np.ndarray:
    return np.full((BANDS, COLUMNS), -80, np.float32)


def test_octaves_are_equally_far_apart_with_high_tones_on_top(tmp_path):
    decibels = silence()
    for hz in (256, 1024, 4096, 16_384):
        decibels[np.searchsorted(EDGES_HZ, hz) - 1] = 0
    bright = np.flatnonzero(panel_pixels(tmp_path / "figure.png", decibels).mean(axis=1) > 128)
    rows = [group.mean() for group in np.split(bright, np.flatnonzero(np.diff(bright) > 1) + 1)]
    assert len(rows) == 4
    assert np.ptp(np.diff(rows)) <= 2


def test_a_band_thinner_than_a_pixel_is_visible(tmp_path):
    for band in range(BANDS // 2, BANDS // 2 + 6):
        decibels = silence()
        decibels[band] = 0
        assert panel_pixels(tmp_path / "figure.png", decibels).max() > 200


def test_a_click_is_visible_at_its_time(tmp_path):
    decibels = np.full((BANDS, 3000), -80, np.float32)
    decibels[:, 1000] = 0
    pixels = panel_pixels(tmp_path / "figure.png", decibels)
    assert abs(int(pixels.mean(axis=0).argmax()) / pixels.shape[1] - 1 / 3) < 0.005


@pytest.mark.parametrize("names", [("mixture", "vocals"), ("mixture", "bass", "drums", "accompaniment", "vocals")])
def test_a_cached_frame_shows_each_songs_time_axis_as_matplotlib_draws_it(names: tuple[str, ...]) -> None:
    kept = FigureFrame(names, 22_050.0)
    for start_seconds, duration_seconds in ((0.0, 3700.0), (12.5, 0.3), (0.0, 59.9), (12.5, 0.3)):
        figure = spectrogram_image._figure(names, (LOWEST_HZ, 22_050.0))
        figure.axes[0].set_xlim(start_seconds, start_seconds + duration_seconds)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        whole = np.asarray(canvas.buffer_rgba())[..., 1] // (256 // GREYS) + COLOURS_IN_PANELS  # type: ignore[no-untyped-call]
        assert np.array_equal(kept.draw_time_axis(start_seconds, duration_seconds), whole)
    assert not np.array_equal(kept.draw_time_axis(12.5, 0.3), kept.draw_time_axis(12.5, 0.4))


def test_frames_are_cached_by_signals_and_rate_and_replaced_by_others() -> None:
    frame = frame_for(["mixture", "vocals", "drums"], 22_050.0)
    assert frame_for(["vocals", "mixture", "drums"], 22_050.0) is frame
    for number in range(FRAMES_KEPT):
        assert frame_for(["mixture", "vocals", "drums"], 24_000.0 + number) is not frame
    assert frame_for(["mixture", "vocals", "drums"], 22_050.0) is not frame


def test_panels_have_borders_and_the_colour_bar_goes_from_loud_to_quiet(tmp_path):
    frame = frame_for(["mixture", "vocals", "accompaniment"], 22_050.0)
    draw_panels(tmp_path / "figure.png", dict.fromkeys(frame.names, silence() + 80), edges_hz=EDGES_HZ, **HALF_A_MINUTE)
    with Image.open(tmp_path / "figure.png") as image:
        assert image.mode == "P"
        pixels = np.asarray(image.convert("L")).astype(int)
    assert frame.names == ("mixture", "accompaniment", "vocals")
    for rows, columns in [panel.place for panel in frame.panels]:
        inside = pixels[rows, columns]
        assert inside.min() == inside.max() > 200
        for line in (
            pixels[rows.start - 1, columns],
            pixels[rows.stop, columns],
            pixels[rows, columns.start - 1],
            pixels[rows, columns.stop],
        ):
            assert line.max() < 16
    bar = pixels[frame.bar]
    assert (np.diff(bar[:, 0]) <= 0).all()
    assert bar[0, 0] > 200
    assert bar[-1, 0] < 16


def test_silence_is_dark(tmp_path):
    assert panel_pixels(tmp_path / "figure.png", silence()).max() < 16
