"""Draws spectrograms as PNG: a figure of panels with axes, and plain pictures without axes for the web page.

matplotlib draws what surrounds the panels (axes, titles, colour bar). That takes ten times as long as filling the
panels, so it is kept from song to song: see `FigureFrame`. The figures are this module's own. pyplot is not used,
because its state is shared by the whole process. Importing this module takes half a second and 40 MB, so code that may
not need it imports it late.
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

from worker.engines.interface import FloatArray
from worker.measurements.spectrogram import LOWEST_HZ

COLOURS = "magma"

PANEL_HEIGHT_INCHES = 2.7
FIGURE_WIDTH_INCHES = 11.0
DOTS_PER_INCH = 100

# The titles and the order of the blog post: the mixture, the accompaniment, the voice.
TITLES = {"mixture": "Full spectrum", "accompaniment": "Accompaniment", "vocals": "Vocals"}

# How far below the mixture's peak the panels reach.
PANEL_RANGE_DB = 80.0

# The note C2. Below it the octaves of the panels shrink, as librosa draws them.
LINEAR_BELOW_HZ = 65.406

# The palette of the figure: this many colours for the panels, 0.36 dB apart, and the rest of 256 for the greys around
# them. With one byte per pixel zlib has a third of the work, and the file is half as large.
COLOURS_IN_PANELS = 224
GREYS = 256 - COLOURS_IN_PANELS

# Frames kept for later songs, at 8 MB each. More help where songs with more sample rates or stems alternate.
FRAMES_KEPT = 2


@dataclass(frozen=True)
class Panel:
    """The pixels within the border of a panel, and the frequency at which each row begins, from the top down."""

    place: tuple[slice, slice]
    rows_hz: NDArray[np.float64]


class FigureFrame:
    """The figure without the content of its panels: axes, titles and colour bar, from `LOWEST_HZ` up.

    `panels` has one entry for each of `names`; `bar` is the place of the colours in the colour bar. Drawing the frame
    takes 0.1 s, and the time axis a tenth of that. Only the time axis is drawn again for each song. Not thread-safe.
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
        # Another frame may have been replaced by this one. Its parts refer to each other, so without this they would
        # stay in memory until Python happens to collect them.
        gc.collect()

    def draw_time_axis(self, start_seconds: float, duration_seconds: float) -> NDArray[np.uint8]:
        """Return the frame with this time axis, shape (height, width), as indices into the figure's palette."""
        self._canvas.restore_region(self._without_time)  # type: ignore[no-untyped-call]
        # The panels share one axis.
        self._axes[0].set_xlim(start_seconds, start_seconds + duration_seconds)
        for ax in self._axes:
            ax.draw_artist(ax.xaxis)
        green: NDArray[np.uint8] = np.asarray(self._canvas.buffer_rgba())[..., 1]  # type: ignore[no-untyped-call]
        return green // (256 // GREYS) + COLOURS_IN_PANELS


def warm_up() -> None:
    """Draw the usual frame, so that the first job does not wait for fonts."""
    _palette()
    frame_for(["mixture", "vocals", "accompaniment"], 22_050.0).draw_time_axis(0.0, 1.0)


def panel_order(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the signals in the order of their panels."""
    last = [name for name in ("accompaniment", "vocals") if name in names]
    return ("mixture", *(n for n in names if n not in {"mixture", *last}), *last)


def frame_for(names: Sequence[str], high_hz: float) -> FigureFrame:
    """Return the frame for panels of these signals up to `high_hz`, from the cache if it is there."""
    return _cached_frame(panel_order(names), high_hz)


@lru_cache(FRAMES_KEPT)
def _cached_frame(names: tuple[str, ...], high_hz: float) -> FigureFrame:
    return FigureFrame(names, high_hz)


def draw_panels(
    path: Path,
    pictures: Mapping[str, FloatArray],
    *,
    edges_hz: NDArray[np.float64],
    start_seconds: float,
    duration_seconds: float,
) -> None:
    """Write a figure with one panel for each signal.

    Parameters
    ----------
    path
        The PNG file to write.
    pictures
        For each signal an array of shape (bands, columns), in dB below the mixture's peak.
    edges_hz : ndarray, shape (bands + 1,)
        The edges of the bands.
    start_seconds, duration_seconds
        The time axis, which all panels share.
    """
    frame = frame_for(list(pictures), float(edges_hz[-1]))
    pixels = frame.draw_time_axis(start_seconds, duration_seconds)
    for name, panel in zip(frame.names, frame.panels, strict=True):
        rows = _stretch_rows(pictures[name], edges_hz, panel.rows_hz)
        cells = _stretch_columns(rows, pixels[panel.place].shape[1])
        pixels[panel.place] = _to_palette(cells, COLOURS_IN_PANELS, range_db=PANEL_RANGE_DB)
    height = pixels[frame.bar].shape[0]
    pixels[frame.bar] = np.linspace(COLOURS_IN_PANELS - 1, 0, height).astype(np.uint8)[:, None]
    image = Image.fromarray(pixels, mode="P")
    image.putpalette(_palette(COLOURS_IN_PANELS) + bytes(np.repeat(np.linspace(0, 255, GREYS).astype(np.uint8), 3)))
    # Fast compression: to zlib these pictures are noise, so more effort takes several times as long and gains little.
    image.save(path, compress_level=1)


def write_plain_image(path: Path, decibels: FloatArray, *, range_db: float) -> None:
    """Write a picture, shape (bands, columns), as a PNG with one pixel per cell and high frequencies on top."""
    image = Image.fromarray(_to_palette(decibels, 256, range_db=range_db)[::-1], mode="P")
    image.putpalette(_palette())
    image.save(path, compress_level=4)


def _figure(names: Sequence[str], ends_hz: tuple[float, float]) -> Figure:
    """Return the figure with an empty axis for each name, and one for the colour bar."""
    height = PANEL_HEIGHT_INCHES * len(names)
    figure = Figure(figsize=(FIGURE_WIDTH_INCHES, height), dpi=DOTS_PER_INCH)
    figure.subplots_adjust(left=0.08, right=0.88, top=1 - 0.35 / height, bottom=0.55 / height, hspace=0.22)
    axes = np.atleast_1d(figure.subplots(len(names), sharex=True, sharey=True))
    for ax, name in zip(axes, names, strict=True):
        # What librosa's `specshow` would set. Calling it would import numba: 67 MB, which networks do not need.
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
    """Return the rows, from the top, and the columns of the pixels within the border of an axis."""
    rows = slice(figure_height - round(ax.bbox.y1) + 1, figure_height - round(ax.bbox.y0))
    return rows, slice(round(ax.bbox.x0) + 1, round(ax.bbox.x1))


def _to_palette(decibels: FloatArray, n_colours: int, *, range_db: float) -> NDArray[np.uint8]:
    """Return an index into a palette of this many colours for each level, from `-range_db` to 0 dB."""
    nearest = np.rint((decibels / range_db + 1) * (n_colours - 1))
    indices: NDArray[np.uint8] = np.clip(nearest, 0, n_colours - 1).astype("u1")
    return indices


def _rows_hz(ax: Axes) -> NDArray[np.float64]:
    """Return the frequency at which each row of pixels of a panel begins, from the top down."""
    scale = ax.yaxis.get_transform()
    low, high = scale.transform(np.array(ax.get_ylim()))
    rows, _ = _inside(ax, 0)
    edges = np.linspace(low, high, rows.stop - rows.start, endpoint=False)
    return np.asarray(scale.inverted().transform(edges), dtype=np.float64)[::-1]


def _stretch_rows(decibels: FloatArray, edges_hz: NDArray[np.float64], rows_hz: NDArray[np.float64]) -> FloatArray:
    """Return one row for each of these falling frequencies: the maximum of the bands up to the row above."""
    first_bands = np.searchsorted(edges_hz[:-1], rows_hz[::-1], side="right") - 1
    return np.maximum.reduceat(decibels, np.maximum(first_bands, 0), axis=0)[::-1]


def _stretch_columns(decibels: FloatArray, n_columns: int) -> FloatArray:
    """Return the picture with this many columns: each the maximum of the columns it stands for, or a copy of one."""
    starts = np.arange(n_columns) * decibels.shape[1] // n_columns
    if decibels.shape[1] <= n_columns:
        return decibels[:, starts]
    return np.maximum.reduceat(decibels, starts, axis=1)


@lru_cache
def _palette(n_colours: int = 256) -> bytes:
    return bytes(colormaps[COLOURS](np.linspace(0, 1, n_colours), bytes=True)[:, :3].tobytes())
