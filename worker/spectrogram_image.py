"""Spectrograms as PNG: the post's panels with axes, and plain ones without for the page to lay things over.

Owns colours and layout. What stands around the panels (axes, titles, the bar of colours) is drawn by matplotlib, which
takes ten times as long as to fill the panels, and needs no audio: see `draw_frame`. Draws on figures of its own, never
through pyplot, whose state is one for the process. To import it takes half a second and 40 MB, so whoever may not draw
imports it late.
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

# A frame whose time axis is off by less than this share of its length, half a pixel, serves as well as an exact one.
LENGTH_TOLERANCE = 0.0005


@dataclass(frozen=True)
class Panel:
    """The pixels within the lines around a panel, and where on its axis each row begins, from the top down."""

    place: tuple[slice, slice]
    rows_hz: NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """What stands around the panels, in their palette; `bar` is the place of the colours that explain them."""

    names: tuple[str, ...]
    high_hz: float
    start_seconds: float
    duration_seconds: float
    pixels: NDArray[np.uint8]
    panels: Sequence[Panel]
    bar: tuple[slice, slice]

    def fits(self, names: Sequence[str], high_hz: float, start_seconds: float, duration_seconds: float) -> bool:
        """Return whether this is what would be drawn for these, but for less than a pixel."""
        tolerance = LENGTH_TOLERANCE * duration_seconds
        return (
            self.names == in_order(names)
            and self.high_hz == high_hz
            and abs(self.start_seconds - start_seconds) <= tolerance
            and abs(self.duration_seconds - duration_seconds) <= tolerance
        )


def warm() -> None:
    """Draw once, so that the first job does not wait for fonts."""
    _palette()
    draw_frame(["mixture"], high_hz=2000.0, start_seconds=0.0, duration_seconds=1.0)


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Return the signals' names in the order of their panels."""
    last = [name for name in ("accompaniment", "vocals") if name in names]
    return ("mixture", *(n for n in names if n not in {"mixture", *last}), *last)


def draw_frame(names: Sequence[str], *, high_hz: float, start_seconds: float, duration_seconds: float) -> Frame:
    """Draw what stands around panels of these signals, from `LOWEST_HZ` up and under a common time axis."""
    names = in_order(names)
    figure = _figure(names, (LOWEST_HZ, high_hz), (start_seconds, start_seconds + duration_seconds))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    green = np.asarray(canvas.buffer_rgba())[..., 1]  # type: ignore[no-untyped-call]
    *axes, bar = figure.axes
    frame = Frame(
        names=names,
        high_hz=high_hz,
        start_seconds=start_seconds,
        duration_seconds=duration_seconds,
        pixels=green // (256 // GREYS) + COLOURS_IN_PANELS,
        panels=[Panel(_inside(ax, len(green)), _rows_hz(ax)) for ax in axes],
        bar=_inside(bar, len(green)),
    )
    # A figure's parts refer to each other: without this, 30 MB a job wait for Python's own idea of when.
    del figure, axes, bar, canvas, green
    gc.collect()
    return frame


def draw_panels(path: Path, frame: Frame, pictures: Mapping[str, FloatArray], *, edges_hz: NDArray[np.float64]) -> None:
    """Write one panel for each of the frame's signals (bands, columns), in dB below the mixture's peak."""
    pixels = frame.pixels.copy()
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


def _figure(names: Sequence[str], ends_hz: tuple[float, float], ends_seconds: tuple[float, float]) -> Figure:
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
        ax.set(title=TITLES.get(name, name.capitalize()), xlim=ends_seconds, ylim=ends_hz, xlabel="Time", ylabel="Hz")
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
