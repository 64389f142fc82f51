"""The outline of a signal for the page: the lowest and highest sample of each short span, as JSON.

Owns the spans and the file's shape; the page draws it without decoding any audio.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from worker.engine.interface import FloatArray

# Spans per track. More would show finer detail than a wide screen has pixels, and cost bytes.
MAX_SPANS = 2_000

# Peaks are whole numbers, with full scale at this.
FULL_SCALE = 32_767


class WaveformOutline:
    """Takes blocks of (channels, n) samples of a signal whose length is known."""

    def __init__(self, *, n_samples: int) -> None:
        self.samples_per_span = max(1, -(-n_samples // MAX_SPANS))
        n_spans = -(-n_samples // self.samples_per_span)
        self._lowest = np.zeros(n_spans, dtype=np.float32)
        self._highest = np.zeros(n_spans, dtype=np.float32)
        self._position = 0

    def feed(self, block: FloatArray) -> None:
        """Take the next samples, shape (channels, n)."""
        n = block.shape[1]
        if n == 0:
            return
        first = self._position // self.samples_per_span
        # Where spans begin within this block; the first may have begun before it.
        starts = np.arange(first * self.samples_per_span, self._position + n, self.samples_per_span)
        starts = np.maximum(starts - self._position, 0)
        spans = slice(first, first + starts.size)
        lowest = np.minimum.reduceat(block, starts, axis=1).min(axis=0)
        highest = np.maximum.reduceat(block, starts, axis=1).max(axis=0)
        np.minimum(self._lowest[spans], lowest, out=self._lowest[spans])
        np.maximum(self._highest[spans], highest, out=self._highest[spans])
        self._position += n

    def to_json(self, *, sample_rate_hz: int) -> str:
        """Return the outline: `peaks` holds lowest and highest of each span in turn."""
        pairs = np.stack((self._lowest, self._highest), axis=1).ravel()
        # Levels over full scale stay as they are: the page clips them, as a converter would.
        document: dict[str, Any] = {
            "sample_rate_hz": sample_rate_hz,
            "duration_seconds": round(self._position / sample_rate_hz, 6),
            "samples_per_peak": self.samples_per_span,
            "full_scale": FULL_SCALE,
            "peaks": np.rint(pairs * FULL_SCALE).astype(int).tolist(),
        }
        return json.dumps(document, separators=(",", ":"))
