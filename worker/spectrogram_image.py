"""Spectrograms as PNG: the post's panels with axes, and plain ones without for the page to lay things over.

Owns colours and layout. Draws on figures of its own, never through pyplot, whose state is one for the process.
To import it takes half a second and 40 MB, so whoever may not draw imports it late.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from librosa.display import specshow
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from numpy.typing import NDArray
from PIL import Image

from worker.engine.interface import FloatArray

COLOURS = "magma"

PANEL_HEIGHT_INCHES = 2.7
FIGURE_WIDTH_INCHES = 11.0
DOTS_PER_INCH = 100

# The post's titles and order: the whole, then what accompanies, then the voice.
TITLES = {"mixture": "Full spectrum", "accompaniment": "Accompaniment", "vocals": "Vocals"}


def warm() -> None:
    """Draw once, so that the first job does not wait for fonts."""
    _palette()
    _draw({"mixture": np.zeros((2, 2), dtype=np.float32)}, np.array([20.0, 200.0, 2000.0]), 0.0, 1.0)


def draw_panels(
    path: Path,
    pictures: Mapping[str, FloatArray],
    *,
    edges_hz: NDArray[np.float64],
    start_seconds: float,
    duration_seconds: float,
) -> None:
    """Write one panel for each signal (bands, columns), in dB below the mixture's peak, under a common time axis."""
    last = [name for name in ("accompaniment", "vocals") if name in pictures]
    order = ["mixture", *(n for n in pictures if n not in {"mixture", *last}), *last]
    panels = {name: pictures[name] for name in order}
    pixels = _draw(panels, edges_hz, start_seconds, duration_seconds)
    # Fast compression: these pictures are noise to zlib, which gains 3 % for four times the time.
    Image.fromarray(pixels).save(path, compress_level=1)
    # A figure's parts refer to each other: without this, 30 MB a job wait for Python's own idea of when.
    gc.collect()


def write_plain(path: Path, decibels: FloatArray, *, range_db: float) -> None:
    """Write a picture (bands, columns) as a PNG of one pixel a cell, high frequencies on top, without axes."""
    levels = np.clip(np.rint((decibels / range_db + 1) * 255), 0, 255).astype(np.uint8)
    image = Image.fromarray(levels[::-1], mode="P")
    image.putpalette(_palette())
    image.save(path, compress_level=4)


def _draw(
    panels: Mapping[str, FloatArray], edges_hz: NDArray[np.float64], start_seconds: float, duration_seconds: float
) -> NDArray[np.uint8]:
    """Return the figure's pixels, shape (height, width, 3)."""
    height = PANEL_HEIGHT_INCHES * len(panels)
    figure = Figure(figsize=(FIGURE_WIDTH_INCHES, height), dpi=DOTS_PER_INCH)
    figure.subplots_adjust(left=0.08, right=0.88, top=1 - 0.35 / height, bottom=0.55 / height, hspace=0.22)
    axes = np.atleast_1d(figure.subplots(len(panels), sharex=True, sharey=True))
    ends_seconds = np.array([start_seconds, start_seconds + duration_seconds])
    for ax, (name, decibels) in zip(axes, panels.items(), strict=True):
        # librosa makes the axes; its mesh of a cell for each value would take three times as long to draw as all
        # else. The image has a value for each pixel.
        cell = np.zeros((1, 1))
        specshow(cell, x_coords=ends_seconds, y_coords=edges_hz[[0, -1]], x_axis="time", y_axis="log", ax=ax).remove()
        image = BboxImage(ax.bbox, cmap=COLOURS, norm=Normalize(-80, 0), interpolation="nearest", origin="lower")
        image.set_data(_fewer_columns(_rows_on_axis(ax, decibels, edges_hz), round(ax.bbox.width)))
        ax.add_artist(image)
        ax.set(title=TITLES.get(name, name.capitalize()))
        ax.label_outer()
    bar = figure.add_axes((0.9, 0.55 / height, 0.015, 1 - 0.9 / height))
    figure.colorbar(image, cax=bar, format="%.0f dB", label="below the mixture's peak")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]


def _rows_on_axis(ax: Axes, decibels: FloatArray, edges_hz: NDArray[np.float64]) -> FloatArray:
    """Return a row for each pixel of the axis' height, the strongest of the bands that lie there."""
    scale = ax.yaxis.get_transform()
    low, high = scale.transform(np.array(ax.get_ylim()))
    pixels_hz = scale.inverted().transform(np.linspace(low, high, round(ax.bbox.height), endpoint=False))
    first_bands = np.searchsorted(edges_hz[:-1], pixels_hz, side="right") - 1
    return np.maximum.reduceat(decibels, np.maximum(first_bands, 0), axis=0)


def _fewer_columns(decibels: FloatArray, n_columns: int) -> FloatArray:
    """Return the picture with at most this many columns, each the strongest of those that it stands for."""
    if decibels.shape[1] <= n_columns:
        return decibels
    starts = np.arange(n_columns) * decibels.shape[1] // n_columns
    return np.maximum.reduceat(decibels, starts, axis=1)


@lru_cache(maxsize=1)
def _palette() -> bytes:
    return bytes(colormaps[COLOURS](np.arange(256), bytes=True)[:, :3].tobytes())
