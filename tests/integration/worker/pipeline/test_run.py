from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from shared.audio.formats import FORMATS
from shared.errors import AudioTooShortError, RequestInvalidError
from tests.fixtures.sounds.audio import convert, decode, make_song, write_wav
from tests.fixtures.stand_ins.engines import Share, registry_of
from worker.engines.interface import FloatArray
from worker.pipeline.run import separate_song
from worker.run_messages import Limits, Outcome, ProducedFile, Work


def run(folder: Path, source: Path, engine: Share | None = None, **options: Any) -> Outcome:
    work = Work(
        input_path=str(source),
        output_folder=str(folder / "out"),
        scratch_folder=str(folder / "scratch"),
        source_filename=source.name,
        engine="share",
        **options,
    )
    return separate_song(work, lambda *_: None, registry=registry_of(engine or Share()))


def stem(outcome: Outcome, name: str) -> ProducedFile:
    return next(o for o in outcome.outputs if (o.kind, o.name) == ("stem", name))


def heard(folder: Path, outcome: Outcome, name: str, channels: int = 2) -> FloatArray:
    return decode(folder / "out" / stem(outcome, name).filename, channels=channels)


def test_a_song_becomes_stems_pictures_outlines_and_a_report(tmp_path: Path) -> None:
    song = make_song(3)
    outcome = run(tmp_path, write_wav(tmp_path / "song.wav", song))
    np.testing.assert_allclose(heard(tmp_path, outcome, "vocals"), song * 0.25, atol=1e-6)
    np.testing.assert_allclose(heard(tmp_path, outcome, "accompaniment"), song * 0.75, atol=1e-6)
    assert [(o.kind, o.name) for o in outcome.outputs] == [
        ("stem", "vocals"),
        ("stem", "accompaniment"),
        ("picture", "spectrogram"),
        *(("picture", name) for name in ("mixture", "vocals", "accompaniment")),
        *(("waveform", name) for name in ("mixture", "vocals", "accompaniment")),
        ("report", "report"),
    ]
    for output in outcome.outputs:
        content = (tmp_path / "out" / output.filename).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (output.size_bytes, output.sha256)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {o.filename for o in outcome.outputs}
    assert not (tmp_path / "scratch").exists()


def test_the_report_has_the_request_the_source_and_the_results(tmp_path: Path) -> None:
    song = make_song(3)
    outcome = run(tmp_path, write_wav(tmp_path / "song.wav", song), parameters={"depth": 2})
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report == outcome.report
    assert report["source"]["sample_rate_hz"] == 44_100
    assert report["source"]["duration_seconds"] == 3.0
    assert (report["engine"], report["engine_version"], report["preset"]) == ("share", "1", "plain")
    assert report["parameters"] == {"depth": 2}
    assert report["stems"]["vocals"]["n_samples"] == 132_300
    assert report["stems"]["vocals"]["peak_db"] == pytest.approx(20 * np.log10(0.125), abs=0.02)
    gap = report["mixture"]["loudness_lufs"] - report["stems"]["vocals"]["loudness_lufs"]
    assert gap == pytest.approx(12.04, abs=0.02)
    assert set(report["seconds"]) == {"probe", "decode", "separate", "encode", "illustrate", "total"}
    assert report["real_time_factor"] > 0
    assert 20e6 < report["peak_memory_bytes"] < 2e9
    assert {"ffmpeg", "numpy", "librosa", "soundfile"} <= set(report["versions"])
    assert report["notes"] == []


def test_progress_names_each_stage_in_order_and_never_falls_within_one(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    source = write_wav(tmp_path / "song.wav", make_song(3))
    work = Work(str(source), str(tmp_path / "o"), str(tmp_path / "s"), "song.wav", "share")
    probed: list[Mapping[str, Any]] = []
    separate_song(
        work,
        lambda stage, fraction: told.append((stage, fraction)),
        report_probed=probed.append,
        registry=registry_of(Share()),
    )
    assert list(dict.fromkeys(stage for stage, _ in told)) == ["probe", "decode", "separate", "encode", "illustrate"]
    for name in {stage for stage, _ in told}:
        fractions = [fraction for stage, fraction in told if stage == name]
        assert fractions == sorted(fractions)
        assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert [p["duration_seconds"] for p in probed] == [pytest.approx(3.0)]


def test_what_is_in_no_stem_is_reported_as_the_residual(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "song.wav", make_song(2))
    report = run(tmp_path, source, Share(0.5, 0.4)).report
    assert report["residual_db"] == pytest.approx(-20, abs=0.01)


def test_one_gain_keeps_all_stems_below_full_scale(tmp_path: Path) -> None:
    song = make_song(2, peak=0.9)
    outcome = run(tmp_path, write_wav(tmp_path / "song.wav", song), Share(2.0, 0.5))
    vocals, accompaniment = heard(tmp_path, outcome, "vocals"), heard(tmp_path, outcome, "accompaniment")
    assert np.abs(vocals).max() == pytest.approx(0.9999, abs=1e-5)
    np.testing.assert_allclose(vocals, accompaniment * 4, atol=1e-5)
    assert outcome.report["gain_db"] == pytest.approx(20 * np.log10(0.9999 / 1.8), abs=0.001)
    assert "would have clipped" in outcome.report["notes"][0]
    assert stem(outcome, "vocals").details["peak_db"] == pytest.approx(0, abs=0.01)


def test_floats_need_no_gain(tmp_path: Path) -> None:
    song = make_song(2, peak=0.9)
    source = write_wav(tmp_path / "song.wav", song)
    outcome = run(tmp_path, source, Share(2.0, 0.5), format="wav", format_options={"bit_depth": 32})
    np.testing.assert_array_equal(heard(tmp_path, outcome, "vocals"), song * 2)
    assert (outcome.report["gain_db"], outcome.report["notes"]) == (0.0, [])


def test_stems_that_fit_the_disk_only_in_16_bits_are_separated_once_and_the_report_says_so(tmp_path: Path) -> None:
    song = make_song(2, peak=0.9)
    source = write_wav(tmp_path / "song.wav", song)
    engine = Share(0.5, 0.25)
    wav = {"format": "wav", "format_options": {"bit_depth": 32}}
    outcome = run(tmp_path, source, engine, limits=Limits(max_scratch_bytes=1_500_000), **wav)
    assert engine.runs == 1
    error = heard(tmp_path, outcome, "vocals") - 0.5 * song
    assert -115 < 10 * np.log10(np.mean(error**2) / np.mean((0.5 * song) ** 2)) < -90
    assert any("16 bits" in note for note in outcome.report["notes"])


def test_stems_that_do_not_fit_the_disk_are_separated_twice(tmp_path: Path) -> None:
    song = make_song(2, peak=0.9)
    source = write_wav(tmp_path / "song.wav", song)
    engine = Share(2.0, 0.5)
    outcome = run(tmp_path, source, engine, limits=Limits(max_scratch_bytes=1_400_000))
    assert engine.runs == 2
    assert np.abs(heard(tmp_path, outcome, "vocals")).max() == pytest.approx(0.9999, abs=1e-5)


@pytest.mark.parametrize("name", ["flac", "mp3"])
def test_the_files_are_the_same_for_any_number_of_threads(tmp_path: Path, name: str) -> None:
    source = write_wav(tmp_path / "song.wav", make_song(7, peak=0.9))
    digests = []
    for threads in (1, 2, 5):
        outcome = run(tmp_path / str(threads), source, Share(2.0, 0.3), format=name, limits=Limits(threads=threads))
        digests.append({(o.kind, o.name): o.sha256 for o in outcome.outputs if o.kind != "report"})
        for key in ("mixture", "stems", "residual_db", "gain_db"):
            assert outcome.report[key] == json.loads((tmp_path / "1" / "out" / "report.json").read_text())[key]
    assert len(digests[0]) == 9
    assert digests[0] == digests[1] == digests[2]


def test_the_time_axis_of_a_song_shorter_than_declared_has_the_true_length(tmp_path: Path) -> None:
    song = make_song(10)
    flac = convert(write_wav(tmp_path / "in.wav", song), tmp_path / "song.flac")
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    outcome = run(tmp_path / "cut", flac, limits=Limits(threads=2))
    n_samples = stem(outcome, "vocals").details["n_samples"]
    assert 0 < n_samples < 9 * 44_100
    run(tmp_path / "whole", write_wav(tmp_path / "whole.wav", heard(tmp_path / "cut", outcome, "vocals") * 4))
    # The frame was drawn for the claim. Had it been kept, the ticks of the time would stand elsewhere.
    pictures = [Image.open(tmp_path / name / "out" / "spectrogram.png").convert("RGB") for name in ("cut", "whole")]
    below_panels = [np.asarray(picture)[-56:] for picture in pictures]
    np.testing.assert_array_equal(*below_panels)


def test_an_excerpt_is_that_part_and_the_engine_may_read_around_it(tmp_path: Path) -> None:
    song = make_song(10)
    source = write_wav(tmp_path / "song.wav", song)
    engine = Share(context_seconds=2.0)
    outcome = run(tmp_path, source, engine, excerpt_start_seconds=5.5, excerpt_duration_seconds=1.5)
    np.testing.assert_allclose(heard(tmp_path, outcome, "vocals"), song[:, 242_550:308_700] * 0.25, atol=1e-6)
    assert outcome.report["excerpt"] == {
        "start_seconds": 5.5,
        "duration_seconds": 1.5,
        "context_seconds_before": 2.0,
        "context_seconds_after": 2.0,
    }
    assert outcome.report["source"]["duration_seconds"] == pytest.approx(10)
    assert stem(outcome, "vocals").details["duration_seconds"] == 1.5


def test_an_excerpt_after_the_end_is_refused_and_one_across_it_is_shortened(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "song.wav", make_song(3))
    with pytest.raises(AudioTooShortError, match="the audio ends at"):
        run(tmp_path, source, excerpt_start_seconds=90, excerpt_duration_seconds=20)
    outcome = run(tmp_path, source, excerpt_start_seconds=2, excerpt_duration_seconds=20)
    assert stem(outcome, "vocals").details["duration_seconds"] == 1.0
    assert "was shortened" in outcome.report["notes"][0]


def test_only_the_wanted_stems_are_made(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "song.wav", make_song(2))
    outcome = run(tmp_path, source, stems=("accompaniment",))
    assert [o.name for o in outcome.outputs if o.kind == "stem"] == ["accompaniment"]
    assert not (tmp_path / "out" / "vocals.flac").exists()
    with pytest.raises(RequestInvalidError, match="vocals, accompaniment"):
        run(tmp_path, source, stems=("drums",))


# Stem files, which need four stems, are in test_stem_file.py.
@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"stem.mp4"}))
def test_tags_and_cover_are_copied_into_every_format_with_the_stem_in_the_title(tmp_path: Path, name: str) -> None:
    cover = tmp_path / "cover.png"
    Image.new("RGB", (60, 60), "red").save(cover)
    wav = write_wav(tmp_path / "in.wav", make_song(2))
    tags = {"title": 'A = "b"; #1', "artist": "Zoë", "album": "Älbum", "date": "1999"}
    options = [v for field, value in tags.items() for v in ("-metadata", f"{field}={value}")]
    picture = ("-i", str(cover), "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic")
    source = convert(wav, tmp_path / "song.mp3", *picture, *options)
    outcome = run(tmp_path, source, format=name)
    path = tmp_path / "out" / stem(outcome, "vocals").filename
    text = convert(path, tmp_path / "tags.txt", "-map_metadata", "0:s:a:0" if name in {"ogg", "opus"} else "0",
                   "-f", "ffmetadata").read_text()  # fmt: skip
    assert 'title=A \\= "b"\\; \\#1 (vocals)\n' in text
    assert "artist=Zoë\n" in text
    assert "album=Älbum\n" in text
    assert "date=1999\n" in text
    extracted = convert(path, tmp_path / "extracted.png", "-map", "0:v", "-c", "copy")
    with Image.open(extracted) as picture_out:
        assert picture_out.getpixel((5, 5)) == (255, 0, 0)
    assert heard(tmp_path, outcome, "vocals").shape[1] == stem(outcome, "vocals").details["n_samples"]


def test_a_song_without_a_title_is_named_after_its_file(tmp_path: Path) -> None:
    outcome = run(tmp_path, write_wav(tmp_path / "Héllo 'x'.wav", make_song(2)))
    text = convert(tmp_path / "out" / "vocals.flac", tmp_path / "tags.txt", "-f", "ffmetadata").read_text()
    assert "Héllo 'x' (vocals)" in text
    assert outcome.report["notes"] == []


def test_pictures_have_one_size_for_the_page_and_say_what_their_axes_mean(tmp_path: Path) -> None:
    outcome = run(tmp_path, write_wav(tmp_path / "song.wav", make_song(30)))
    pictures = [o for o in outcome.outputs if o.kind == "picture" and o.name != "spectrogram"]
    for output in pictures:
        with Image.open(tmp_path / "out" / output.filename) as image:
            assert image.size == (1200, 256)
        assert output.details["highest_hz"] == 22_050
        assert output.details["range_db"] == 80
        assert output.details["duration_seconds"] == 30
    with Image.open(tmp_path / "out" / "spectrogram.png") as panels:
        assert panels.width == 1100
        assert len(panels.convert("RGB").getcolors(1 << 24) or []) > 100


def test_silence_gives_silent_stems_and_pictures(tmp_path: Path) -> None:
    outcome = run(tmp_path, write_wav(tmp_path / "song.wav", np.zeros((2, 88_200), dtype=np.float32)))
    assert stem(outcome, "vocals").details["silent"]
    assert stem(outcome, "vocals").details["peak_db"] is None
    assert not heard(tmp_path, outcome, "vocals").any()
    assert outcome.report["residual_db"] is None


def test_a_truncated_source_is_noted(tmp_path: Path) -> None:
    flac = convert(write_wav(tmp_path / "in.wav", make_song(10)), tmp_path / "song.flac")
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    outcome = run(tmp_path, flac)
    assert any("declares 10.00 s but contains" in note for note in outcome.report["notes"])


def test_samples_that_were_not_finite_are_noted(tmp_path: Path) -> None:
    song = make_song(2)
    song[0, :7] = np.nan
    outcome = run(tmp_path, write_wav(tmp_path / "in.wav", song))
    assert outcome.report["source"]["repaired_samples"] == 7
    assert "7 samples" in outcome.report["notes"][0]


def test_memory_does_not_grow_with_the_song(tmp_path: Path) -> None:
    engine = Share()
    peaks = []
    for number, seconds in enumerate((5, 240)):
        source = write_wav(tmp_path / f"{number}.wav", np.tile(make_song(5), seconds // 5), subtype="PCM_16")
        peaks.append(run(tmp_path / str(number), source, engine).report["peak_memory_bytes"])
    assert peaks[1] - peaks[0] < 40_000_000


def test_memory_does_not_grow_from_job_to_job(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "song.wav", make_song(20), subtype="PCM_16")
    resident = []
    for number in range(6):
        run(tmp_path / str(number), source)
        resident.append(psutil.Process().memory_info().rss)
    assert resident[-1] - resident[1] < 15_000_000
