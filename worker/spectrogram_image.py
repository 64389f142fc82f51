"""Spectrograms as PNG: the post's panels with axes, and plain ones without for the page to lay things over.

Owns colours and layout. What stands around the panels (axes, titles, the bar of colours) is drawn by matplotlib, which
takes ten times as long as to fill the panels, and is kept from song to song: see `Frame`. Draws on figures of its own,
never through pyplot, whose state is one for the process. To import it takes half a second and 40 MB, so whoever may not
draw imports it late.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from librosa.display import LogHzFormatter, TimeFormatter
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, SymmetricalLogLocator
from numpy.typing import NDArray
from PIL import Image

from worker.engine.interface import FloatArray
from worker.spectrogram_view import LOWEST_HZ

COLOURS = "magma"

PANEL_HEIGHT_INCHES = 2.7
FIGURE_WIDTH_INCHES = 11.0
DOTS_PER_INCH = 100

# The post's titles and order: the whole, then what accompanies, then the voice.
TITLES = {"mixture": "Full spectrum", "accompaniment": "Accompaniment", "vocals": "Vocals"}

# How far below the mixture's peak the panels go.
PANEL_RANGE_DB = 80.0

# C2: below it the panels' octaves shrink, as librosa draws them.
LINEAR_BELOW_HZ = 65.406

# The panels' palette: so many colours, 0.36 dB apart, and what is left of 256 for the greys around the panels. With one
# byte a pixel zlib has a third to look at, and the file is half as large.
COLOURS_IN_PANELS = 224
GREYS = 256 - COLOURS_IN_PANELS

# Frames kept for the next song, at 8 MB each. Raising it helps where songs of more rates or stems take turns.
FRAMES_KEPT = 2


@dataclass(frozen=True)
class Panel:
    """The pixels within the lines around a panel, and where on its axis each row begins, from the top down."""

    place: tuple[slice, slice]
    rows_hz: NDArray[np.float64]


class Frame:
    """What stands around panels of these signals, from `LOWEST_HZ` up; `bar` is the place of the colours there.

    To draw it takes 0.1 s, of which the time axis is a tenth: that alone is drawn for each song. Not for two threads at
    once.
    """

    def __init__(self, names: tuple[str, ...], high_hz: float) -> None:
        figure = _figure(names, (LOWEST_HZ, high_hz))
        *axes, bar = figure.axes
        self.names = names
        self._axes = axes
        self._canvas = FigureCanvasAgg(figure)
        for ax in axes:
            ax.xaxis.set_visible(False)
        self._canvas.draw()  # type: ignore[no-untyped-call]
        for ax in axes:
            ax.xaxis.set_visible(True)
        self._without_time = self._canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]
        height = round(figure.bbox.height)
        self.panels = [Panel(_inside(ax, height), _rows_hz(ax)) for ax in axes]
        self.bar = _inside(bar, height)
        # Another figure may have gone for this one. Its parts refer to each other, and would wait for Python's own idea
        # of when.
        gc.collect()

    def pixels(self, start_seconds: float, duration_seconds: float) -> NDArray[np.uint8]:
        """Return the frame with this time axis, as places in the panels' palette."""
        self._canvas.restore_region(self._without_time)  # type: ignore[no-untyped-call]
        # All panels share one.
        self._axes[0].set_xlim(start_seconds, start_seconds + duration_seconds)
        for ax in self._axes:
            ax.draw_artist(ax.xaxis)
        green: NDArray[np.uint8] = np.asarray(self._canvas.buffer_rgba())[..., 1]  # type: ignore[no-untyped-call]
        return green // (256 // GREYS) + COLOURS_IN_PANELS


def warm() -> None:
    """Draw the usual frame, so that the first job does not wait for fonts."""
    _palette()
    frame_around(["mixture", "vocals", "accompaniment"], 22_050.0).pixels(0.0, 1.0)


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Return the signals' names in the order of their panels."""
    last = [name for name in ("accompaniment", "vocals") if name in names]
    return ("mixture", *(n for n in names if n not in {"mixture", *last}), *last)


def frame_around(names: Sequence[str], high_hz: float) -> Frame:
    """Return the frame around panels of these signals: a kept one, where there is one."""
    return _kept_frame(in_order(names), high_hz)


@lru_cache(FRAMES_KEPT)
def _kept_frame(names: tuple[str, ...], high_hz: float) -> Frame:
    return Frame(names, high_hz)


def draw_panels(
    path: Path,
    pictures: Mapping[str, FloatArray],
    *,
    edges_hz: NDArray[np.float64],
    start_seconds: float,
    duration_seconds: float,
) -> None:
    """Write one panel for each signal (bands, columns), in dB below the mixture's peak, over a common time axis."""
    frame = frame_around(list(pictures), float(edges_hz[-1]))
    pixels = frame.pixels(start_seconds, duration_seconds)
    for name, panel in zip(frame.names, frame.panels, strict=True):
        rows = _rows(pictures[name], edges_hz, panel.rows_hz)
        cells = _columns(rows, pixels[panel.place].shape[1])
        pixels[panel.place] = _levels(cells, COLOURS_IN_PANELS, range_db=PANEL_RANGE_DB)
    height = pixels[frame.bar].shape[0]
    pixels[frame.bar] = np.linspace(COLOURS_IN_PANELS - 1, 0, height).astype(np.uint8)[:, None]
    image = Image.fromarray(pixels, mode="P")
    image.putpalette(_palette(COLOURS_IN_PANELS) + bytes(np.repeat(np.linspace(0, 255, GREYS).astype(np.uint8), 3)))
    # Fast compression: these pictures are noise to zlib, which gains little for several times the time.
    image.save(path, compress_level=1)


def write_plain(path: Path, decibels: FloatArray, *, range_db: float) -> None:
    """Write a picture (bands, columns) as a PNG of one pixel a cell, high frequencies on top, without axes."""
    image = Image.fromarray(_levels(decibels, 256, range_db=range_db)[::-1], mode="P")
    image.putpalette(_palette())
    image.save(path, compress_level=4)


def _figure(names: Sequence[str], ends_hz: tuple[float, float]) -> Figure:
    """Return the figure with an empty axis for each name, and one for the colours."""
    height = PANEL_HEIGHT_INCHES * len(names)
    figure = Figure(figsize=(FIGURE_WIDTH_INCHES, height), dpi=DOTS_PER_INCH)
    figure.subplots_adjust(left=0.08, right=0.88, top=1 - 0.35 / height, bottom=0.55 / height, hspace=0.22)
    axes = np.atleast_1d(figure.subplots(len(names), sharex=True, sharey=True))
    for ax, name in zip(axes, names, strict=True):
        # What librosa's `specshow` would set. To call it takes numba along, 67 MB for which networks have no use.
        ax.set_yscale("symlog", base=2, linthresh=LINEAR_BELOW_HZ, linscale=0.5)
        ax.yaxis.set_major_locator(SymmetricalLogLocator(ax.yaxis.get_transform()))
        ax.yaxis.set_major_formatter(LogHzFormatter())
        ax.xaxis.set_major_locator(MaxNLocator(steps=[1, 1.5, 5, 6, 10]))
        ax.xaxis.set_major_formatter(TimeFormatter())
        ax.set(title=TITLES.get(name, name.capitalize()), ylim=ends_hz, xlabel="Time", ylabel="Hz")
        ax.label_outer()
    bar = figure.add_axes((0.9, 0.55 / height, 0.015, 1 - 0.9 / height))
    colours = ScalarMappable(Normalize(-PANEL_RANGE_DB, 0), COLOURS)
    figure.colorbar(colours, cax=bar, format="%.0f dB", label="below the mixture's peak")
    return figure


def _inside(ax: Axes, figure_height: int) -> tuple[slice, slice]:
    """Return the rows, from the top, and columns of the pixels within the line around an axis."""
    rows = slice(figure_height - round(ax.bbox.y1) + 1, figure_height - round(ax.bbox.y0))
    return rows, slice(round(ax.bbox.x0) + 1, round(ax.bbox.x1))


def _levels(decibels: FloatArray, n_levels: int, *, range_db: float) -> NDArray[np.uint8]:
    """Return places in a palette of so many colours."""
    levels: NDArray[np.uint8] = np.clip(np.rint((decibels / range_db + 1) * (n_levels - 1)), 0, n_levels - 1).astype(
        "u1"
    )
    return levels


def _rows_hz(ax: Axes) -> NDArray[np.float64]:
    scale = ax.yaxis.get_transform()
    low, high = scale.transform(np.array(ax.get_ylim()))
    rows, _ = _inside(ax, 0)
    edges = np.linspace(low, high, rows.stop - rows.start, endpoint=False)
    return np.asarray(scale.inverted().transform(edges), dtype=np.float64)[::-1]


def _rows(decibels: FloatArray, edges_hz: NDArray[np.float64], rows_hz: NDArray[np.float64]) -> FloatArray:
    """Return a row for each of these falling frequencies, the strongest of the bands from there up to the row above."""
    first_bands = np.searchsorted(edges_hz[:-1], rows_hz[::-1], side="right") - 1
    return np.maximum.reduceat(decibels, np.maximum(first_bands, 0), axis=0)[::-1]


def _columns(decibels: FloatArray, n_columns: int) -> FloatArray:
    """Return the picture as wide as this, each column the strongest, or the only one, of those that it stands for."""
    starts = np.arange(n_columns) * decibels.shape[1] // n_columns
    if decibels.shape[1] <= n_columns:
        return decibels[:, starts]
    return np.maximum.reduceat(decibels, starts, axis=1)


@lru_cache
def _palette(n_colours: int = 256) -> bytes:
    return bytes(colormaps[COLOURS](np.linspace(0, 1, n_colours), bytes=True)[:, :3].tobytes())
