"""The engine with tiny networks for three stems: what is true for every network, at every rate and channel count."""

from __future__ import annotations

import numpy as np
import pytest

from worker.engines.errors import EngineError, EngineUnavailableError, InvalidParameterError
from worker.engines.unet import create, describe
from worker.engines.unet.model_manifest import read_manifest
from worker.engines.unet.network import InitialStates

RATES_HZ = (8_000, 22_050, 35_467, 44_100, 48_000, 96_000, 192_000)


def test_the_description_comes_from_the_manifest(three_stem_folder):
    description = describe(three_stem_folder)
    assert description.name == "thirds"
    assert description.stems == ("low", "middle", "high")
    assert description.presets[0].scores == {"low_sdr_db": 1.0}
    assert description.licence == "The project's own."


@pytest.mark.parametrize("sample_rate_hz", RATES_HZ)
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_at_every_rate_and_channel_count_stems_have_the_mixtures_length_and_sum_to_it(
    three_stems, make_noise, sample_rate_hz, channels
):
    source = make_noise(channels, 5_003, sample_rate_hz)
    stems = source.separated(three_stems)
    assert stems.shape == (3, channels, 5_003)
    assert stems.dtype == np.float32
    assert np.array_equal(stems[2], source.y - stems[0] - stems[1])


@pytest.mark.parametrize("channels", range(1, 9))
def test_every_channel_count_up_to_eight_is_separated(three_stems, make_noise, channels):
    stems = make_noise(channels, 2_000).separated(three_stems)
    assert stems.shape == (3, channels, 2_000)
    assert stems.any(axis=2).all()


@pytest.mark.parametrize("n_samples", [0, 1, 2, 31, 32, 33, 511, 512, 513, 2_205])
@pytest.mark.parametrize("sample_rate_hz", [8_000, 44_100, 192_000])
def test_any_length_is_separated_even_a_single_sample(three_stems, make_noise, n_samples, sample_rate_hz):
    source = make_noise(2, n_samples, sample_rate_hz)
    stems = source.separated(three_stems)
    assert stems.shape == (3, 2, n_samples)
    assert np.isfinite(stems).all()


def test_each_stem_contains_what_its_network_selects(three_stems, array_source):
    t = np.arange(44_100) / 44_100
    tones = [np.sin(2 * np.pi * hz * t) for hz in (2_000, 8_000, 13_000)]
    source = array_source(np.stack([sum(tones)] * 2).astype(np.float32), 44_100)
    for stem, tone in zip(source.separated(three_stems), tones, strict=True):
        error = (stem - tone)[:, 1_000:-1_000]
        assert 10 * np.log10(np.mean(tone**2) / np.mean(error**2)) > 25


@pytest.mark.parametrize("sample_rate_hz", [16_000, 44_100, 96_000])
def test_silence_gives_silence(three_stems, array_source, sample_rate_hz):
    source = array_source(np.zeros((2, 10_000), np.float32), sample_rate_hz)
    assert not source.separated(three_stems).any()


@pytest.mark.parametrize("loudness", [1e-30, 1e-9, 4.0, 1e18])
def test_every_loudness_gives_finite_samples(three_stems, array_source, make_noise, loudness):
    source = array_source(make_noise(2, 4_000).y * np.float32(loudness), 44_100)
    assert np.isfinite(source.separated(three_stems)).all()


def test_mono_is_stereo_with_two_equal_sides(three_stems, array_source, make_noise):
    mono = make_noise(1, 6_000)
    stereo = array_source(np.repeat(mono.y, 2, axis=0), 44_100)
    assert np.allclose(mono.separated(three_stems)[:, 0], stereo.separated(three_stems)[:, 0], atol=1e-6)


def test_each_pair_of_channels_is_separated_on_its_own(three_stems, array_source, make_noise):
    source = make_noise(6, 4_000)
    together = source.separated(three_stems)
    for first in (0, 2, 4):
        pair = array_source(source.y[first : first + 2], 44_100)
        assert np.allclose(pair.separated(three_stems), together[:, first : first + 2], atol=1e-6)


@pytest.mark.parametrize("sample_rate_hz", RATES_HZ)
def test_an_excerpt_sounds_the_same_as_within_the_song(three_stems, make_noise, sample_rate_hz):
    source = make_noise(2, 3 * sample_rate_hz, sample_rate_hz)
    start, stop = 2 * sample_rate_hz + 77, 2 * sample_rate_hz + 5_000
    whole = source.separated(three_stems)[:, :, start:stop]
    assert np.allclose(source.separated(three_stems, start=start, stop=stop), whole, atol=1e-5)


def test_an_excerpt_reads_no_more_than_its_context(three_stems, make_noise, array_source):
    source = make_noise(1, 40 * 8_000, 8_000)
    context = int(three_stems.description.context_seconds * 8_000)
    start, stop = 20 * 8_000, 21 * 8_000
    alone = array_source(np.zeros_like(source.y), 8_000)
    alone.y[:, start - context : stop + context] = source.y[:, start - context : stop + context]
    expected = source.separated(three_stems, start=start, stop=stop)
    assert np.array_equal(alone.separated(three_stems, start=start, stop=stop), expected)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_the_number_of_threads_changes_no_bit(three_stems, make_noise, threads):
    source = make_noise(3, 20_000)
    assert np.array_equal(source.separated(three_stems, threads=threads), source.separated(three_stems))


def test_progress_rises_to_one(three_stems, make_noise):
    told: list[float] = []
    for _ in three_stems.separate(make_noise(2, 20_000), progress=told.append):
        pass
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_separation_that_is_stopped_early_ends_its_threads(three_stems, make_noise):
    blocks = three_stems.separate(make_noise(2, 200_000), threads=2)
    next(blocks)
    blocks.close()


def test_an_engine_loads_its_networks_again_after_it_released_its_memory(three_stems, make_noise):
    source = make_noise(2, 3_000)
    before = source.separated(three_stems)
    three_stems.release_memory()
    assert np.array_equal(source.separated(three_stems), before)


def test_each_track_gets_states_of_its_own_whether_they_were_read_ahead_or_not(three_stem_folder):
    states = InitialStates(three_stem_folder / "silence.npz", read_manifest(three_stem_folder))
    states.read_ahead()
    first, second = states.take_states(), states.take_states()
    changed = [array for stem in first for array in stem.values()]
    as_read = [array.copy() for array in changed]
    assert changed
    for array in changed:
        np.add(array, 1, out=array)
    for array, kept, other in zip(changed, as_read, (a for stem in second for a in stem.values()), strict=True):
        assert np.array_equal(other, kept)
        assert not np.array_equal(other, array)


def test_a_very_low_sample_rate_is_refused_before_the_first_block(three_stems, make_noise):
    with pytest.raises(EngineError) as caught:
        next(three_stems.separate(make_noise(1, 10, 1)))
    assert caught.value.code == "sample_rate_unsupported"


def test_unknown_presets_and_parameters_are_refused(three_stem_folder):
    with pytest.raises(InvalidParameterError, match="loud"):
        create("loud", {}, model_folder=three_stem_folder)
    with pytest.raises(InvalidParameterError):
        create(None, {"power": 2}, model_folder=three_stem_folder)
    assert create("standard", {}, model_folder=three_stem_folder).stems == ("low", "middle", "high")


def test_without_a_model_the_engine_is_unavailable(tmp_path):
    with pytest.raises(EngineUnavailableError, match="No model"):
        create(None, {}, model_folder=tmp_path / "nowhere")
