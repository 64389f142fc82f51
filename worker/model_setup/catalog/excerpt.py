"""A synthesised excerpt with known stems, for `check --sound`. Nobody's song, so that it may be shipped.

It has what networks look for: a voice with formants, vibrato and rests between its phrases, drums, a bass, and chords.
It is no music, and figures for it are not comparable with those for songs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from worker.engines.interface import FloatArray

Signal = NDArray[np.float64]

SAMPLE_RATE_HZ = 44_100
SECONDS = 16
BEAT_SECONDS = 0.5

MELODY_HZ = (220.0, 246.9, 261.6, 329.6, 293.7, 261.6, 246.9, 196.0)
CHORDS_HZ = ((220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7), (164.8, 207.7, 246.9))
FORMANTS_HZ = (
    ((730, 90), (1090, 110), (2440, 170)),
    ((530, 60), (1840, 100), (2480, 120)),
    ((570, 70), (840, 80), (2410, 160)),
)
"""Formants and their bandwidths of the vowels a, e and o."""


class Excerpt:
    """The mixture of a set of stems, as an `AudioSource`."""

    sample_rate_hz = SAMPLE_RATE_HZ
    channels = 2
    n_samples = SECONDS * SAMPLE_RATE_HZ

    def __init__(self, stems: dict[str, FloatArray]) -> None:
        self.stems = stems
        self._y = sum(stems.values(), np.zeros((2, self.n_samples), np.float32))

    @property
    def mixture(self) -> FloatArray:
        """All stems together, shape (2, n_samples)."""
        return self._y

    def read_samples(self, start: int, stop: int) -> FloatArray:
        """Return the samples `start` to `stop`."""
        return np.ascontiguousarray(self._y[:, start:stop])


def make_excerpt() -> Excerpt:
    """Return the excerpt with the stems `vocals`, `drums`, `bass` and `other`. It is the same at every call."""
    rng = np.random.default_rng(0)
    t = np.arange(Excerpt.n_samples) / SAMPLE_RATE_HZ
    return Excerpt(
        {
            "vocals": _to_stereo(_voice(t, rng), 0.0, 0.080),
            "drums": _to_stereo(_drums(t, rng), 0.1, 0.064),
            "bass": _to_stereo(_bass(t), 0.0, 0.056),
            "other": np.add(_to_stereo(_chords(t, 1.0), -0.5, 0.036), _to_stereo(_chords(t, 1.004), 0.5, 0.036)),
        }
    )


def _voice(t: Signal, rng: np.random.Generator) -> Signal:
    """Return pulses of a gliding pitch through the formants of a vowel for each note, with breath noise."""
    note = (t / (2 * BEAT_SECONDS)).astype(int)
    pitch = np.array(MELODY_HZ)[note % len(MELODY_HZ)]
    pitch = lfilter([0.001], [1, -0.999], pitch) * 2 ** (0.35 / 12 * np.sin(2 * np.pi * 5.5 * t))
    phase = np.cumsum(pitch) / SAMPLE_RATE_HZ
    # The flow through the glottis falls off by 12 dB an octave; the lips give half of it back.
    pulses = np.diff(np.maximum(0, np.sin(2 * np.pi * phase)) ** 3, prepend=0.0)
    source = pulses / pulses.std() + 0.03 * rng.standard_normal(len(t))
    y = np.zeros(len(t))
    for number, formants in enumerate(FORMANTS_HZ):
        filtered = source
        for centre_hz, width_hz in formants:
            radius, angle = np.exp(-np.pi * width_hz / SAMPLE_RATE_HZ), 2 * np.pi * centre_hz / SAMPLE_RATE_HZ
            filtered = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], filtered)
        y += filtered * _smooth(note % len(FORMANTS_HZ) == number)
    # Three notes, then a rest.
    return np.asarray(y * _smooth(note % 4 != 3))


def _drums(t: Signal, rng: np.random.Generator) -> Signal:
    noise = rng.standard_normal(len(t))
    hiss = np.diff(noise, prepend=0.0)
    beat = t % BEAT_SECONDS
    is_even = (t / BEAT_SECONDS).astype(int) % 2 == 0
    kick = np.sin(2 * np.pi * (55 * beat + 6 * (1 - np.exp(-beat / 0.03)))) * np.exp(-beat / 0.12) * is_even
    snare = (noise + 2 * np.sin(2 * np.pi * 190 * beat)) * np.exp(-beat / 0.07) * ~is_even
    hat = hiss * np.exp(-(t % (BEAT_SECONDS / 2)) / 0.02)
    y: Signal = 1.5 * kick + 0.4 * snare + 0.25 * hat
    return y


def _bass(t: Signal) -> Signal:
    root = np.array([chord[0] / 4 for chord in CHORDS_HZ])[(t / (4 * BEAT_SECONDS)).astype(int) % len(CHORDS_HZ)]
    phase = np.cumsum(root) / SAMPLE_RATE_HZ
    y = sum(np.sin(2 * np.pi * n * phase) / n**1.5 for n in range(1, 7))
    return np.asarray(y * (0.3 + 0.7 * np.exp(-(t % BEAT_SECONDS) / 0.25)))


def _chords(t: Signal, detune: float) -> Signal:
    number = (t / (4 * BEAT_SECONDS)).astype(int) % len(CHORDS_HZ)
    y = np.zeros(len(t))
    for voice in range(3):
        pitch = detune * np.array([chord[voice] for chord in CHORDS_HZ])[number]
        phase = np.cumsum(pitch) / SAMPLE_RATE_HZ
        y += sum(np.sin(2 * np.pi * n * phase) / n for n in range(1, 12))
    return y


def _smooth(switch: NDArray[np.bool_]) -> Signal:
    """Return a switch that takes 20 ms."""
    n = int(0.02 * SAMPLE_RATE_HZ)
    return np.asarray(np.convolve(switch.astype(float), np.hanning(n) / np.hanning(n).sum(), mode="same"))


def _to_stereo(y: Signal, pan: float, level: float) -> FloatArray:
    """Return a sound at an RMS level, somewhere between left (-1) and right (1)."""
    y = level * y / np.sqrt(np.mean(np.square(y)))
    return np.stack([(1 - pan) * y, (1 + pan) * y]).astype(np.float32)
