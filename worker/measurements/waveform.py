"""The waveform of a signal for the web page: the lowest and highest sample of each short span, as JSON.

The page draws it without decoding any audio.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from worker.engines.interface import FloatArray

# Spans per track. More would have finer detail than a wide screen has pixels, and cost more bytes.
MAX_SPANS = 2_000

# Peaks are integers; this one is full scale.
FULL_SCALE = 32_767


class WaveformOutline:
    """Takes blocks of samples of shape (channels, n) of a signal whose length is known."""

    def __init__(self, *, n_samples: int) -> None:
        self.samples_per_span = max(1, -(-n_samples // MAX_SPANS))
        n_spans = -(-n_samples // self.samples_per_span)
        self._lowest = np.zeros(n_spans, dtype=np.float32)
        self._highest = np.zeros(n_spans, dtype=np.float32)
        self._position = 0

    def add_block(self, block: FloatArray) -> None:
        """Add the next samples, shape (channels, n)."""
        n = block.shape[1]
        if n == 0:
            return
        first = self._position // self.samples_per_span
        # Where spans begin within this block. The first one may have begun before the block.
        starts = np.arange(first * self.samples_per_span, self._position + n, self.samples_per_span)
        starts = np.maximum(starts - self._position, 0)
        spans = slice(first, first + starts.size)
        lowest = np.minimum.reduceat(block, starts, axis=1).min(axis=0)
        highest = np.maximum.reduceat(block, starts, axis=1).max(axis=0)
        np.minimum(self._lowest[spans], lowest, out=self._lowest[spans])
        np.maximum(self._highest[spans], highest, out=self._highest[spans])
        self._position += n

    def to_json(self, *, sample_rate_hz: int) -> str:
        """Return the waveform. `peaks` holds the lowest and the highest sample of each span, one after the other."""
        pairs = np.stack((self._lowest, self._highest), axis=1).ravel()
        # Levels above full scale stay as they are. The page clips them, as a converter would.
        document: dict[str, Any] = {
            "sample_rate_hz": sample_rate_hz,
            "duration_seconds": round(self._position / sample_rate_hz, 6),
            "samples_per_peak": self.samples_per_span,
            "full_scale": FULL_SCALE,
            "peaks": np.rint(pairs * FULL_SCALE).astype(int).tolist(),
        }
        return json.dumps(document, separators=(",", ":"))
