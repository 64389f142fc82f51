"""`python -m tests.bench.repetition_pictures`: draws the pictures of the engine's page from a labelled song."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from PIL import Image

from tests.bench.repetition_songs import Song, labelled_songs
from tests.unit.worker.engine.array_source import ArraySource
from worker.engine.framing import FrameGrid, analyse
from worker.engine.interface import FloatArray
from worker.engine.repetition import create
from worker.engine.repetition.bank import CELL_FRAMES, Bank
from worker.engine.repetition.description import SETTINGS
from worker.engine.repetition.medians import CodeArray, decode, rank_over_bins, rank_over_rows
from worker.engine.repetition.spectra import N_BANDS, band_of_bin, encode

FOLDER = Path(__file__).parents[2] / "worker" / "engine" / "repetition" / "pictures"
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
    bank = Bank(n_frames, grid.n_bins, N_BANDS)
    D = analyse(grid.read(ArraySource(song.mixture, song.sample_rate_hz), 0, n_frames), N_FFT)
    encode(D, band_of_bin(N_FFT, song.sample_rate_hz), bank.codes, bank.features)
    bank.advance(n_frames)
    frame_seconds = grid.hop_length / song.sample_rate_hz
    settings = SETTINGS["default"]
    rows, n_rows = bank.neighbours(0, n_frames, settings.neighbours)
    repeating, struck = np.empty_like(bank.codes), np.empty_like(bank.codes)
    rank_over_rows(bank.codes, rows, n_rows, settings.quantile, repeating)
    rank_over_bins(bank.codes, settings.struck_radius_bins, 0.5, struck)
    _draw_similarity(bank, rows, frame_seconds)
    _draw_moment(bank.codes, repeating, struck, song, frame_seconds)
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
    decode(codes.ravel(), magnitude.view(np.uint32).ravel())
    return magnitude


def _draw_moment(mixture: CodeArray, repeating: CodeArray, struck: CodeArray, song: Song, frame_seconds: float) -> None:
    t = int(MOMENT_SECONDS / frame_seconds)
    frequency_hz = np.arange(mixture.shape[1]) * song.sample_rate_hz / N_FFT
    shown = (frequency_hz > 100) & (frequency_hz < 3000)
    levels = [20 * np.log10(_magnitude(codes[t : t + 1])[0, shown] + 1e-7) for codes in (mixture, repeating, struck)]
    background = np.minimum(levels[0], np.maximum(levels[1], levels[2]))
    plt.figure(figsize=(8, 3.2))
    plt.fill_between(frequency_hz[shown], background, levels[0], color="tab:orange", label="voice: what exceeds it")
    plt.plot(frequency_hz[shown], levels[0], color="black", linewidth=0.8, label="mixture")
    plt.plot(frequency_hz[shown], background, color="tab:blue", linewidth=0.8, label="background")
    plt.xscale("log")
    plt.xlabel("Hz")
    plt.ylabel("dB")
    plt.ylim(levels[0].max() - 70, levels[0].max() + 3)
    plt.legend(loc="lower left")
    plt.title("One frame")
    _save("moment.png")


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
