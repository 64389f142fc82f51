"""MDX-Net against a plain, slow reference in float64 that is written here, and what is left in the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.fixtures.stand_ins.tiny_mdx import PARAMETERS, make_tiny_mdx_model, tiny_network
from tests.unit.worker.engines.segments.conftest import noise, separated
from worker.engines import mdx
from worker.engines.level import SongLevel
from worker.engines.mdx.family import FAMILY, check_parameters
from worker.engines.mdx.spectrum import ChunkSpectrum
from worker.engines.segments.manifest import read_segment_manifest

N_FFT, HOP, DIM_F, DIM_T = (PARAMETERS[name] for name in ("n_fft", "hop_length", "dim_f", "dim_t"))
CHUNK = HOP * (DIM_T - 1)
WINDOW = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_tiny_mdx_model(tmp_path / "model")


@pytest.fixture
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(tiny_network().SerializeToString(), providers=["CPUExecutionProvider"])


def plain_chunk(session: onnxruntime.InferenceSession, y: np.ndarray, n_fft: int = N_FFT) -> np.ndarray:
    """Return the stem of a chunk, shape (2, CHUNK), computed as with torch.stft and torch.istft."""
    padded = np.pad(y.astype(np.float64), ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
    D = np.stack(
        [[np.fft.rfft(channel[t * HOP : t * HOP + n_fft] * WINDOW) for t in range(DIM_T)] for channel in padded]
    ).swapaxes(1, 2)
    D[:, :3] = 0
    fed = np.stack([part[:DIM_F] for channel in D for part in (channel.real, channel.imag)])
    (out,) = session.run(None, {"input": fed[None].astype(np.float32)})
    full = np.zeros((2, n_fft // 2 + 1, DIM_T), np.complex128)
    full[:, :DIM_F] = out[0, 0::2] + 1j * out[0, 1::2]
    added, weights = np.zeros((2, CHUNK + n_fft)), np.zeros(CHUNK + n_fft)
    for t in range(DIM_T):
        added[:, t * HOP : t * HOP + n_fft] += np.fft.irfft(full[:, :, t], n=n_fft) * WINDOW
        weights[t * HOP : t * HOP + n_fft] += WINDOW**2
    inner = slice(n_fft // 2, -n_fft // 2)
    return added[:, inner] / weights[inner]


def relative_rms(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)))


def test_one_segment_is_that_of_the_plain_reference(folder, session):
    network = FAMILY.load(folder, read_segment_manifest(folder), 1)
    y = noise(2, CHUNK)
    found = network.separate_segment(y, lambda _: None)
    assert found.shape == (1, 2, CHUNK)
    assert relative_rms(found[0], 1.03 * plain_chunk(session, y)) < 1e-6


def test_a_frame_that_is_no_whole_number_of_hops_long_works_too(monkeypatch):
    """Files with `n_fft` 7680 have hops of 1024."""
    monkeypatch.setattr(f"{__name__}.WINDOW", 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(224) / 224))

    class Echo:
        def run(self, _names, inputs):
            return [inputs["input"]]

    y = noise(2, CHUNK)
    spectrum = ChunkSpectrum(224, HOP, DIM_F, DIM_T)
    assert relative_rms(spectrum.synthesise(spectrum.analyse(y)), plain_chunk(Echo(), y, 224)) < 1e-6


def test_a_song_is_the_weighted_mean_of_its_chunks_and_the_rest_is_what_they_leave(folder, session):
    y = noise(2, 9_000)
    peak = np.abs(y).max()
    step, margin = int(0.75 * CHUNK), N_FFT // 2
    kept = CHUNK - 2 * margin
    weights = np.sin(np.pi * (np.arange(kept) + 0.5) / kept) ** 2
    padded = np.pad(y * (0.9 / peak), ((0, 0), (margin, 2 * CHUNK)))
    added, total = np.zeros((2, 9_000 + 2 * CHUNK)), np.zeros(9_000 + 2 * CHUNK)
    for start in range(0, 9_000, step):
        chunk = plain_chunk(session, padded[:, start : start + CHUNK])
        added[:, start : start + kept] += chunk[:, margin:-margin] * weights
        total[start : start + kept] += weights
    expected = 1.03 * (added / np.maximum(total, 1e-9))[:, :9_000] * peak / 0.9
    vocals, rest = separated(mdx.create(None, {}, model_folder=folder), y)
    assert relative_rms(vocals, expected) < 1e-5
    assert np.array_equal(rest, y - vocals)


def test_what_the_network_cannot_see_stays_in_the_rest(folder):
    t = np.arange(30_000) / 44_100
    unseen = np.stack([np.sin(2 * np.pi * 0.2 * 44_100 / N_FFT * t), np.sin(2 * np.pi * 19_900 * t)]).astype(np.float32)
    vocals, rest = separated(mdx.create(None, {}, model_folder=folder), 0.5 * unseen)
    # The network has biases, so a chunk's stem is not quite silent; what was not seen is not in it.
    for channel in range(2):
        explained = np.dot(vocals[channel], unseen[channel]) / np.dot(unseen[channel], unseen[channel])
        assert abs(explained) < 1e-3
        assert np.dot(rest[channel], unseen[channel]) / np.dot(unseen[channel], unseen[channel]) == pytest.approx(
            0.5, abs=1e-3
        )


@pytest.mark.parametrize("stem", ["vocals", "accompaniment"])
@pytest.mark.parametrize("compensate", [1.0, 1.065])
def test_compensate_never_breaks_the_sum(tmp_path, stem, compensate):
    settings = {**{k: v for k, v in PARAMETERS.items() if k != "stem"}, "compensate": compensate}
    remainder = {"vocals": "accompaniment", "accompaniment": "vocals"}[stem]
    folder = make_tiny_mdx_model(tmp_path / "model", settings=settings, remainder=remainder)
    y = noise(2, 9_000)
    stems = separated(mdx.create(None, {}, model_folder=folder), y)
    estimated = ("vocals", "accompaniment").index(stem)
    assert np.array_equal(stems[1 - estimated], y - stems[estimated])
    assert np.abs(stems.sum(axis=0) - y).max() < 1e-6


@pytest.mark.parametrize("overlap", [0.02, 0.05, 0.5, 0.9])
def test_chunks_may_overlap_less_or_more_and_still_cover_the_song(tmp_path, overlap):
    settings = {**{k: v for k, v in PARAMETERS.items() if k != "stem"}, "overlap": overlap}
    folder = make_tiny_mdx_model(tmp_path / "model", settings=settings)
    grid = FAMILY.grid(read_segment_manifest(folder))
    assert grid.hop == min(len(grid.window), int((1 - overlap) * CHUNK))
    y = noise(2, 9_000)
    stems = separated(mdx.create(None, {}, model_folder=folder), y)
    assert np.isfinite(stems).all()
    assert np.array_equal(stems[1], y - stems[0])


def test_a_song_is_fed_at_the_peak_of_the_networks_own_tools():
    assert FAMILY.feed(SongLevel(peak=0.45)).gain == pytest.approx(2)
    assert FAMILY.feed(SongLevel()).gain == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n_fft": 255}, "n_fft must be an even number"),
        ({"n_fft": 1 << 20}, "n_fft must be"),
        ({"n_fft": "6144"}, "n_fft must be a whole number"),
        ({"hop_length": 0}, "hop_length must be"),
        ({"hop_length": 200}, "hop_length must be"),
        ({"dim_f": 130}, "dim_f must be"),
        ({"dim_t": 1}, "dim_t must be"),
        ({"dim_t": 100_000}, "dim_t must be"),
        ({"overlap": 0.0}, "overlap must be"),
        ({"overlap": "half"}, "overlap must be"),
        ({"compensate": 0}, "compensate must be above 0"),
        ({"compensate": float("inf")}, "compensate must be above 0"),
        ({"compensate": "1"}, "compensate must be a number"),
    ],
)
def test_impossible_parameters_are_refused_with_a_reason(change, reason):
    check_parameters(PARAMETERS)
    with pytest.raises((ValueError, TypeError), match=reason):
        check_parameters({**PARAMETERS, **change})
