"""The network in bfloat16: it computes what its plan describes, and its stems are as good as those in float32."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from worker.engines.errors import EngineUnavailableError
from worker.engines.machine import BFLOAT16_INSTRUCTIONS, has_instructions
from worker.engines.unet import create, describe
from worker.engines.unet.bfloat16.plan import (
    GAINS,
    INPUT,
    Layer,
    NetworkPlan,
    Ring,
    packed_kernel,
    packed_table,
    read_plan,
    to_bfloat16,
    write_plan,
)
from worker.engines.unet.model_manifest import read_manifest
from worker.engines.unet.network import load_model

AUDIO = Path(os.environ.get("STEMQUEUE_AUDIO") or Path(__file__).parents[6] / "shared" / "audio")
FRAMES, BINS = 8, 64


def as_float(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(x: np.ndarray) -> np.ndarray:
    return as_float(to_bfloat16(x))


@pytest.fixture
def kernels():
    rng = np.random.default_rng(1)
    return {
        "first": 0.3 * rng.standard_normal((32, 2, 5, 5)).astype(np.float32),
        "second": 0.1 * rng.standard_normal((32, 32, 3, 3)).astype(np.float32),
        # Bias, floor, factor, term and slope.
        "table": np.stack([rng.uniform(0.5, 1, 32) for _ in range(5)]).astype(np.float32),
        "bias": np.pad(rng.uniform(-1, 1, (1, 32)), ((0, 4), (0, 0))).astype(np.float32),
    }


@pytest.fixture
def two_layers(tmp_path, kernels):
    """Write a plan of a convolution of stride 2 and one more that makes the gains; return its path."""
    parts = [packed_kernel(kernels[name], 2) for name in ("first", "second")]
    parts += [packed_table(kernels[name], 2) for name in ("table", "bias")]
    at = np.cumsum([0, *(part.nbytes for part in parts)]).tolist()
    (tmp_path / "two.numbers").write_bytes(b"".join(part.tobytes() for part in parts))
    shared = {"registers": 2, "blocks": 1, "row_stride": 2, "bin_stride": 2}
    first = Layer(
        INPUT, None, "middle", -2, 4, 4, 32, row_taps=5, bin_taps=5, weights_at=at[0], table_at=at[2], **shared
    )
    second = Layer(
        "middle", None, GAINS, -1, 2, 2, 16, row_taps=3, bin_taps=3, weights_at=at[1], table_at=at[3], **shared
    )
    rings = {INPUT: Ring(FRAMES + 5, BINS, 2, 1, 2), "middle": Ring(7, 32, 32, 1, 1)}
    write_plan(tmp_path / "two.json", NetworkPlan(rings, (first, second), "two.numbers"))
    return tmp_path / "two.json"


def strided(x: np.ndarray, kernel: np.ndarray, after: int) -> np.ndarray:
    """Return a convolution of stride 2 in float64, with a zero before the bins and `after` zeros behind."""
    x = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, after)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(1, 2))[:, ::2, ::2]
    return np.einsum("irbkl,oikl->orb", windows, rounded(kernel).astype(np.float64))


def test_a_network_computes_the_sums_that_its_plan_describes(two_layers, kernels, bfloat16_network):
    network, chunks = bfloat16_network(two_layers), 5
    S = np.random.default_rng(0).uniform(-1, 1, (2, chunks * FRAMES, BINS)).astype(np.float32)
    states, gains = network.empty_states(), []
    for first in range(0, S.shape[1], FRAMES):
        found, states = network.step(S[:, first : first + FRAMES], states)
        gains.append(found)
    # Row r of the layer between reads frames from 2 r - 1 on, so a frame before the first is silent.
    bias, floor, factor, term, slope = kernels["table"].astype(np.float64)[:, :, None, None]
    middle = strided(np.pad(rounded(S), ((0, 0), (1, 0), (0, 0))), kernels["first"], 2) + bias
    middle = np.maximum(middle, floor) * factor + term
    middle = rounded(np.maximum(middle, slope * middle).astype(np.float32))
    # Blocks 1, 2, .. come 4 frames late each: the first read rows from before the track.
    blocks = strided(middle[:, 1:], kernels["second"], 1) + kernels["bias"][0][:, None, None]
    rows = blocks.shape[1]
    expected = blocks.reshape(2, 4, 4, rows, 16).transpose(0, 3, 1, 4, 2).reshape(2, 4 * rows, BINS)
    expected = 1 / (1 + np.exp(-expected))
    difference = np.abs(np.concatenate(gains, axis=1)[:, 8:] - expected)
    # A number between the layers may be rounded to the other side where float32 adds up in another order.
    assert difference.max() < 1e-2
    assert difference.mean() < 1e-4


@pytest.fixture
def bfloat16_network():
    if not has_instructions(BFLOAT16_INSTRUCTIONS):
        pytest.skip("this processor has no instructions for bfloat16 (AVX512_BF16)")
    from worker.engines.unet.bfloat16.network import Bfloat16Network

    return Bfloat16Network


def test_numbers_are_rounded_to_nearest_and_ties_to_even():
    x = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1 - 2**-9, 0, 3e38], np.float32)
    assert as_float(to_bfloat16(x))[:6].tolist() == [1, 1, 1 + 2**-6, 1 + 2**-7, -1, 0]
    assert np.isfinite(as_float(to_bfloat16(x))).all()


def test_a_plan_of_another_format_or_without_its_numbers_is_refused(two_layers, bfloat16_network):
    plan = read_plan(two_layers)
    assert len(plan.layers) == 2
    (two_layers.parent / plan.numbers).unlink()
    with pytest.raises(EngineUnavailableError, match="set the model up again"):
        bfloat16_network(two_layers)
    two_layers.write_text(two_layers.read_text().replace('"format": 1', '"format": 0'))
    with pytest.raises(EngineUnavailableError, match="set the model up again"):
        read_plan(two_layers)


@pytest.mark.parametrize(
    "change",
    [
        {"bins": 40},
        {"bins": 12},
        {"channel": 16},
        {"bin_stride": 3},
        {"row_taps": 900},
        {"weights_at": 10**6},
        {"source": "elsewhere"},
        {"target": GAINS},
    ],
    ids=str,
)
def test_a_plan_that_reaches_beyond_its_rings_or_numbers_is_refused(two_layers, change):
    plan, size = read_plan(two_layers), (two_layers.parent / "two.numbers").stat().st_size
    plan.check_bounds(size)
    with pytest.raises(EngineUnavailableError, match="set the model up again"):
        replace(plan, layers=(replace(plan.layers[0], **change), plan.layers[1])).check_bounds(size)
    with pytest.raises(EngineUnavailableError, match="set the model up again"):
        plan.check_bounds(size - 1)


def test_the_states_after_silence_are_unchanged_by_more_silence(bfloat16_folder):
    manifest = read_manifest(bfloat16_folder)
    model = load_model(bfloat16_folder, manifest)
    silence = np.zeros((manifest.channels, manifest.chunk_frames, manifest.bins), np.float32)
    for network, initial in zip(model.networks, model.initial_states.take_states(), strict=True):
        first, states = network.step(silence, initial)
        for _ in range(4):
            again, states = network.step(silence, states)
            assert np.array_equal(again, first)


def test_the_description_names_the_precision(bfloat16_folder, unet_folder):
    assert (describe(unet_folder).precision, describe(unet_folder).version) == ("float32", "4")
    told = describe(bfloat16_folder)
    assert (told.precision, told.version) == ("bfloat16", "4-bfloat16")
    assert set(told.presets[0].scores) == {"vocals_sdr_db", "accompaniment_sdr_db"}


def test_each_group_of_channels_has_its_own_states(bfloat16_folder, make_noise, array_source):
    engine = create(None, {}, model_folder=bfloat16_folder)
    noise = make_noise(4, 200_000)
    # A song is fed at a level that its peak sets, so each group gets the peak of the whole.
    noise.y[:, 1000] = np.abs(noise.y).max()
    four = array_source(noise.y, noise.sample_rate_hz)
    separated = four.separated(engine)
    for group in (slice(0, 2), slice(2, 4)):
        alone = array_source(four.y[group], four.sample_rate_hz).separated(engine)
        assert np.array_equal(separated[:, group], alone)


def test_noise_and_partials_are_separated_as_in_float32(bfloat16_folder, unet_folder, array_source):
    rng, t = np.random.default_rng(0), np.arange(8 * 44_100) / 44_100
    partials = sum(np.sin(2 * np.pi * 220 * n * t + 3 * np.sin(2 * np.pi * 5 * t)) / n for n in range(1, 12))
    voice = 0.1 * partials * (np.sin(2 * np.pi * 0.7 * t) > 0)
    beats = 0.3 * rng.standard_normal((2, t.size)) * np.exp(-8 * (t % 0.5))
    song = array_source((voice + beats).astype(np.float32), 44_100)
    exact, fast = (
        song.separated(create(None, {}, model_folder=folder))[0] for folder in (unet_folder, bfloat16_folder)
    )
    assert np.sum(exact**2) > 0.01 * np.sum(song.y**2)
    assert 10 * np.log10(np.sum(exact**2) / np.sum((fast - exact) ** 2)) > 25


@pytest.mark.parametrize("name", ["caesium_30s", "sodium_30s"])
def test_labelled_songs_have_the_same_scores_as_in_float32(name, bfloat16_folder, unet_folder, array_source):
    folder = AUDIO / "songs" / name
    if not folder.exists():
        pytest.skip(f"no audio at {folder}")
    mixture, rate = soundfile.read(folder / "mixture.flac", dtype="float32", always_2d=True)
    vocals, _ = soundfile.read(folder / "vocals.flac", dtype="float32", always_2d=True)
    song = array_source(np.ascontiguousarray(mixture.T), rate)
    true = np.stack([vocals.T, mixture.T - vocals.T])
    scores = [
        median_sdr(true, song.separated(create(None, {}, model_folder=folder), threads=2), rate)
        for folder in (unet_folder, bfloat16_folder)
    ]
    assert scores[0].min() > 0
    assert np.abs(scores[0] - scores[1]).max() < 0.1


def median_sdr(true: np.ndarray, estimate: np.ndarray, rate: int) -> np.ndarray:
    """Return each stem's SDR in dB: the median over the seconds in which neither stem is silent."""

    def energy(y: np.ndarray) -> np.ndarray:
        whole = y.shape[2] // rate * rate
        return (y[:, :, :whole].astype(np.float64) ** 2).reshape(*y.shape[:2], -1, rate).sum(axis=(1, 3))

    heard = energy(true).min(axis=0) > 0
    return np.median(10 * np.log10(energy(true)[:, heard] / energy(estimate - true)[:, heard]), axis=1)
