"""Spectrograms as PNG: the post's panels with axes, and plain ones without for the page to lay things over.

Owns colours and layout. Draws on figures of its own, never through pyplot, whose state is one for the process.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.engine.interface import FloatArray

COLOURS = "magma"

# Columns of a panel in the figure, which is about 900 pixels wide; drawing takes time for each cell.
PANEL_COLUMNS = 600

PANEL_HEIGHT_INCHES = 2.7
FIGURE_WIDTH_INCHES = 11.0
DOTS_PER_INCH = 100

# The post's titles and order: the whole, then what accompanies, then the voice.
TITLES = {"mixture": "Full spectrum", "accompaniment": "Accompaniment", "vocals": "Vocals"}


def warm() -> None:
    """Import the drawing libraries and draw once, so that the first job does not wait for fonts."""
    _palette()
    _figure({"mixture": np.zeros((2, 2), dtype=np.float32)}, np.array([20.0, 200.0, 2000.0]), 0.0, 1.0)


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
    panels = {name: _fewer_columns(pictures[name], PANEL_COLUMNS) for name in order}
    figure = _figure(panels, edges_hz, start_seconds, duration_seconds)
    # Fast compression: these pictures are noise to zlib, which gains 3 % for four times the time.
    figure.savefig(path, dpi=DOTS_PER_INCH, pil_kwargs={"compress_level": 1})
    del figure
    # A figure's parts refer to each other: without this, 30 MB a job wait for Python's own idea of when.
    gc.collect()


def write_plain(path: Path, decibels: FloatArray, *, range_db: float) -> None:
    """Write a picture (bands, columns) as a PNG of one pixel a cell, high frequencies on top, without axes."""
    from PIL import Image  # noqa: PLC0415 - see `warm`

    levels = np.clip(np.rint((decibels / range_db + 1) * 255), 0, 255).astype(np.uint8)
    image = Image.fromarray(levels[::-1], mode="P")
    image.putpalette(_palette())
    image.save(path, compress_level=4)


def _figure(
    panels: Mapping[str, FloatArray], edges_hz: NDArray[np.float64], start_seconds: float, duration_seconds: float
) -> Any:
    from librosa.display import specshow  # noqa: PLC0415 - see `warm`
    from matplotlib.figure import Figure  # noqa: PLC0415

    height = PANEL_HEIGHT_INCHES * len(panels)
    figure = Figure(figsize=(FIGURE_WIDTH_INCHES, height))
    figure.subplots_adjust(left=0.08, right=0.88, top=1 - 0.35 / height, bottom=0.55 / height, hspace=0.22)
    axes = np.atleast_1d(figure.subplots(len(panels), sharex=True, sharey=True))
    for ax, (name, decibels) in zip(axes, panels.items(), strict=True):
        columns = np.linspace(start_seconds, start_seconds + duration_seconds, decibels.shape[1] + 1)
        image = specshow(
            decibels, x_coords=columns, y_coords=edges_hz, x_axis="time", y_axis="log", cmap=COLOURS, ax=ax
        )
        image.set_clim(-80, 0)
        ax.set(title=TITLES.get(name, name.capitalize()))
        ax.label_outer()
    bar = figure.add_axes((0.9, 0.55 / height, 0.015, 1 - 0.9 / height))
    figure.colorbar(image, cax=bar, format="%.0f dB", label="below the mixture's peak")
    return figure


def _fewer_columns(decibels: FloatArray, n_columns: int) -> FloatArray:
    """Return the picture with at most this many columns, each the strongest of those that it stands for."""
    if decibels.shape[1] <= n_columns:
        return decibels
    starts = np.arange(n_columns) * decibels.shape[1] // n_columns
    return np.maximum.reduceat(decibels, starts, axis=1)


@lru_cache(maxsize=1)
def _palette() -> bytes:
    from matplotlib import colormaps  # noqa: PLC0415 - see `warm`

    return bytes(colormaps[COLOURS](np.arange(256), bytes=True)[:, :3].tobytes())
