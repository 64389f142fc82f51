"""What speaks for a tempo, and how much. `tests/bench/music/fit_tempo.py` fits these numbers and prints them."""

from __future__ import annotations

DISTANCES_BEATS = (0.25, 0.5, 1, 1.5, 2, 3, 4)
"""After how many beats onsets are looked at whether they repeat. The weights are those of the logarithms."""

# fmt: off
WEIGHTS = (
    0.23, -0.3, 1.4, 0.24, 0.9, -1.01, 0.18,  # The rise in decibels.
    -0.98, 0.06, 1.39, 0.59, -0.57, -0.31, 1.99,  # The rise in amplitude below 2 kHz.
    -0.23, -0.07, 0.49, -0.06, 0.14, -0.81, 0.81,  # The rise in amplitude below 160 Hz.
)
# fmt: on

WEIGHTS_OF_TEMPO = (2.01, -1.55)
"""Weights of how many octaves a tempo is above 120 BPM, and of the square of that."""

# fmt: off
CHANGES_WITHOUT_DRUMS = (
    0.26, 0.22, -0.19, 0.14, -0.07, 0.66, 0.2,
    1.24, 0.27, -0.78, -0.53, 0.15, 0.38, -0.03,
    0.33, -0.11, -1.0, -0.28, -0.38, 0.45, -0.26,
    -1.3, -0.13,
)
# fmt: on
"""What music without drums adds to all these weights, in the same order."""
