"""Draws the pictures of the engine's page: `python -m tests.bench.separation.repetition_pictures`."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from PIL import Image

from tests.bench.separation.repetition_songs import Song, labelled_songs
from tests.unit.worker.engines.array_source import ArraySource
from worker.engines.interface import FloatArray
from worker.engines.repetition import create
from worker.engines.repetition.bank import CELL_FRAMES, Bank
from worker.engines.repetition.description import PRESET_SETTINGS
from worker.engines.repetition.gains import (
    compute_voice_gains,
    keep_unvoiced,
    prior_log_odds,
    repetition_odds_table,
    steadiness_odds_table,
)
from worker.engines.repetition.medians import CodeArray, decode_magnitudes, rank_over_rows
from worker.engines.repetition.spectra import N_BANDS, band_of_bin, encode_spectra
from worker.engines.repetition.steadiness import MARGIN_FRAMES, STEPS_PER_NEPER, measure_steadiness, n_short_bins
from worker.engines.stft_frames import FrameGrid, analyse

FOLDER = Path(__file__).parents[3] / "worker" / "engines" / "repetition" / "pictures"
SONG = "lithium_60s"
N_FFT = 4096
SHOWN_SECONDS = (20, 28)
MOMENT_SECONDS = 23.0


def main() -> None:
    """Draw all pictures into `FOLDER`."""
    mpl.use("Agg")
    song = next(song for song in labelled_songs() if song.name == SONG)
    grid = FrameGrid(N_FFT, song.mixture.shape[1])
    n_frames = -(-grid.n_frames // CELL_FRAMES) * CELL_FRAMES
    bank = Bank(n_frames, grid.n_bins, N_BANDS, n_short_bins(N_FFT))
    source = ArraySource(song.mixture, song.sample_rate_hz)
    bands = band_of_bin(N_FFT, song.sample_rate_hz)
    D = analyse(grid.read_frames(source, 0, n_frames), N_FFT)
    mixture = np.empty_like(bank.codes)
    encode_spectra(D, bands, mixture, bank.features)
    measure_steadiness(grid.read_frames(source, -MARGIN_FRAMES, n_frames + MARGIN_FRAMES), N_FFT, bank.steadiness)
    prior = np.exp(-prior_log_odds(N_FFT, song.sample_rate_hz))
    keep_unvoiced(D, bank.steadiness, prior, steadiness_odds_table(1.0))
    encode_spectra(D, bands, bank.codes, bank.features)
    bank.advance(n_frames)
    frame_seconds = grid.hop_length / song.sample_rate_hz
    settings = PRESET_SETTINGS["default"]
    rows, n_rows = bank.find_similar(0, n_frames, settings.neighbours)
    repeating = np.empty_like(bank.codes)
    rank_over_rows(bank.codes, rows, n_rows, settings.quantile, repeating)
    _draw_similarity(bank, rows, frame_seconds)
    _draw_signs(bank, mixture, repeating, prior, frame_seconds)
    _draw_stems(song)


def _save(name: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    plt.tight_layout()
    plt.savefig(FOLDER / name, dpi=72)
    plt.close()
    # Few colours are enough, and a quarter of the size.
    with Image.open(FOLDER / name) as picture:
        few = picture.convert("RGB").quantize(64, Image.Quantize.FASTOCTREE)
    few.save(FOLDER / name, optimize=True)


def _draw_similarity(bank: Bank, rows: NDArray[np.int32], frame_seconds: float) -> None:
    moment = int(MOMENT_SECONDS / frame_seconds)
    similarity = bank.features @ bank.features.T
    extent = (0, len(similarity) * frame_seconds) * 2
    plt.figure(figsize=(6, 5))
    plt.imshow(similarity[::6, ::6] ** 4, origin="lower", extent=extent, cmap="Greys", vmin=0, vmax=1)
    plt.axhline(MOMENT_SECONDS, color="tab:blue", linewidth=0.8)
    neighbours_seconds = rows[moment] * frame_seconds
    plt.plot(neighbours_seconds, np.full(len(neighbours_seconds), MOMENT_SECONDS), ".", color="tab:red", markersize=4)
    plt.xlabel("seconds")
    plt.ylabel("seconds")
    plt.title("How alike each two moments are; red: those taken for second 23")
    _save("similarity.png")


def _magnitude(codes: CodeArray) -> FloatArray:
    magnitude = np.empty(codes.shape, np.float32)
    decode_magnitudes(codes.ravel(), magnitude.view(np.uint32).ravel())
    return magnitude


def _draw_signs(bank: Bank, mixture: CodeArray, repeating: CodeArray, prior: FloatArray, frame_seconds: float) -> None:
    """Draw the signs by which a bin is held for voice, and the gain that comes of them."""
    gains = np.empty(bank.codes.shape, np.float32)
    energies = np.empty((2, len(gains)))
    odds = repetition_odds_table(1.0), steadiness_odds_table(1.0)
    compute_voice_gains(bank.codes, repeating, bank.steadiness, prior, *odds, np.ones_like(prior), gains, *energies)
    frames = slice(*(int(second / frame_seconds) for second in SHOWN_SECONDS))
    bins = np.geomspace(10, 1000, 160).astype(int)
    repeats = np.minimum(_magnitude(repeating) / (_magnitude(mixture) + 1e-9), 1)
    steady = bank.steadiness.repeat(4, axis=1)[:, 2:] / STEPS_PER_NEPER * 20 / np.log(10)
    _, axes = plt.subplots(3, 1, figsize=(8, 8), sharex=True)
    for axis, values, name, low, high in (
        (axes[0], 1 - repeats, "Share that does not repeat", 0, 1),
        (axes[1], steady, "Steady over struck, dB", -20, 20),
        (axes[2], gains, "Gain of the vocals", 0, 1),
    ):
        times = np.linspace(*SHOWN_SECONDS, frames.stop - frames.start)
        mesh = axis.pcolormesh(times, bins / (4 * frame_seconds), values[frames][:, bins].T, vmin=low, vmax=high)
        axis.set_yscale("log")
        axis.set_ylabel("Hz")
        axis.set_title(name)
        plt.colorbar(mesh, ax=axis)
    axes[-1].set_xlabel("seconds")
    _save("signs.png")


def _draw_stems(song: Song) -> None:
    source = ArraySource(song.mixture, song.sample_rate_hz)
    vocals, accompaniment = np.concatenate(list(create("default", {}).separate(source, threads=2)), axis=-1)
    start, stop = (second * song.sample_rate_hz for second in SHOWN_SECONDS)
    named = {
        "mixture": song.mixture,
        "vocals": vocals,
        "accompaniment": accompaniment,
        "vocals, the truth": song.vocals,
    }
    _, axes = plt.subplots(2, 2, figsize=(9, 5), sharex=True, sharey=True)
    for axis, (name, y) in zip(axes.ravel(), named.items(), strict=True):
        S = np.abs(analyse(np.ascontiguousarray(y[:, start:stop]), N_FFT)).mean(axis=0)
        bins = np.geomspace(10, 1000, 160).astype(int)
        frequency_hz = bins * song.sample_rate_hz / N_FFT
        times = np.linspace(*SHOWN_SECONDS, S[::2].shape[0])
        axis.pcolormesh(times, frequency_hz, 20 * np.log10(S[::2][:, bins].T + 1e-6), vmin=-90, vmax=-25, cmap="magma")
        axis.set_yscale("log")
        axis.set_title(name)
    axes[1, 0].set_xlabel("seconds")
    axes[0, 0].set_ylabel("Hz")
    _save("stems.png")


if __name__ == "__main__":
    main()
