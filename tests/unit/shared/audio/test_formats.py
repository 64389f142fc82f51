from __future__ import annotations

from typing import Any, get_args

import click
import pytest

from api.client.catalog.run_command import run_catalog
from api.contract.job_requests import JobForm
from shared.audio.formats import FORMATS, FormatName, check_options, resolve
from shared.errors import AudioUnsupportedError, RequestInvalidError
from shared.jobs.options import ItemOptions


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("aiff", {}, "unknown"),
        ("flac", {"bit_depth": 32}, "16, 24"),
        ("flac", {"bitrate_kbps": 256}, "bit_depth"),
        ("mp3", {"bit_depth": 16}, "bitrate_kbps"),
        ("mp3", {"bitrate_kbps": 512}, "32 and 320"),
        ("mp3", {"bitrate_kbps": "high"}, "32 and 320"),
        ("opus", {"speed": 1}, "speed"),
        ("stem.mp4", {"speed": 1}, "'bitrate_kbps' or 'bit_depth'"),
        ("stem.mp4", {"bit_depth": 32}, "16, 24"),
        ("stem.mp4", {"bit_depth": 16, "bitrate_kbps": 256}, "not both"),
    ],
)
def test_what_a_format_does_not_have_is_refused_in_a_sentence(name: str, options: Any, words: str) -> None:
    with pytest.raises(RequestInvalidError, match=words):
        check_options(name, options)


@pytest.mark.parametrize(
    ("name", "source_rate_hz", "rate_hz"),
    [
        ("flac", 35_467, 35_467),
        ("flac", 65_535, 65_535),
        ("flac", 65_540, 65_540),
        ("flac", 192_000, 192_000),
        ("wav", 65_537, 65_537),
        ("wav", 192_000, 192_000),
        ("ogg", 11_025, 11_025),
        ("mp3", 44_100, 44_100),
        ("mp3", 35_467, 44_100),
        ("mp3", 96_000, 48_000),
        ("m4a", 96_000, 96_000),
        ("m4a", 4_000, 7_350),
        ("opus", 44_100, 48_000),
        ("stem.mp4", 44_100, 44_100),
        ("stem.mp4", 48_000, 48_000),
        ("stem.mp4", 96_000, 48_000),
    ],
)
def test_stems_keep_the_rate_where_the_format_can(name: str, source_rate_hz: int, rate_hz: int) -> None:
    assert resolve(name, {}, sample_rate_hz=source_rate_hz, channels=2).sample_rate_hz == rate_hz


def test_a_rate_that_flac_cannot_tell_is_refused_for_good_and_not_as_a_full_disk() -> None:
    with pytest.raises(AudioUnsupportedError, match="Use WAV"):
        resolve("flac", {}, sample_rate_hz=65_537, channels=2)


def test_mp3_has_two_channels_at_most_and_the_others_eight() -> None:
    assert resolve("mp3", {}, sample_rate_hz=48_000, channels=6).channels == 2
    assert resolve("opus", {}, sample_rate_hz=48_000, channels=8).channels == 8


def test_a_stem_file_is_stereo_and_lossless_if_asked() -> None:
    lossy = resolve("stem.mp4", {}, sample_rate_hz=44_100, channels=2)
    assert (lossy.channels, lossy.bit_depth, lossy.bitrate_kbps) == (2, None, 256)
    lossless = resolve("stem.mp4", {"bit_depth": 24}, sample_rate_hz=44_100, channels=1)
    assert (lossless.channels, lossless.bit_depth, lossless.bitrate_kbps) == (2, 24, None)


def test_opus_gets_no_more_bits_than_its_channels_can_take() -> None:
    assert resolve("opus", {"bitrate_kbps": 510}, sample_rate_hz=48_000, channels=1).bitrate_kbps == 256


def test_the_type_names_every_format() -> None:
    assert get_args(FormatName) == tuple(FORMATS)


def test_client_and_api_offer_every_output_format() -> None:
    options = {option.name: option for option in run_catalog.params}
    choices = options["format"].type
    assert isinstance(choices, click.Choice)
    assert tuple(choices.choices) == tuple(FORMATS)
    form = JobForm.model_json_schema()["properties"]["format"]["anyOf"][0]["enum"]
    assert form == ItemOptions.model_json_schema()["properties"]["format"]["enum"] == list(FORMATS)
