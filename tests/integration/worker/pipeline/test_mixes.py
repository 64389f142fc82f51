"""Mixes of a run: what they sound like, and that one gain covers every output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.audio.mixes import Mix, read_mix
from shared.errors import RequestInvalidError
from tests.fixtures.sounds.audio import decode, make_song, write_wav
from tests.fixtures.stand_ins.engines import Share, registry_of
from worker.engines.interface import FloatArray
from worker.pipeline.run import separate_song
from worker.run_messages import Limits, Outcome, Work


class FourStems(Share):
    """Four stems that leave a tenth of the mixture."""

    @property
    def stems(self) -> tuple[str, ...]:
        return ("drums", "vocals", "bass", "other")

    def separate(self, source: Any, **options: Any) -> Iterator[FloatArray]:
        for block in super().separate(source, **options):
            yield np.stack([block.sum(axis=0) * gain for gain in (0.4, 0.3, 0.15, 0.05)])


def run(folder: Path, song: FloatArray, *mixes: Mix, engine: Share | None = None, **options: Any) -> Outcome:
    work = Work(
        input_path=str(write_wav(folder / "song.wav", song)),
        output_folder=str(folder / "out"),
        scratch_folder=str(folder / "scratch"),
        source_filename="song.wav",
        engine="share",
        mixes=mixes,
        **{"format": "wav", "format_options": {"bit_depth": 32}, **options},
    )
    work = Work.from_json(json.loads(json.dumps(work.to_json())))
    return separate_song(work, lambda *_: None, registry=registry_of(engine or Share()))


def heard(folder: Path, name: str) -> FloatArray:
    return decode(folder / "out" / f"{name}.wav", channels=2)


def test_mixes_are_sums_of_stems_at_their_gains(tmp_path: Path) -> None:
    song = make_song(2)
    mixes = [
        read_mix("minus:vocals"),
        read_mix("only:drums+bass"),
        Mix("karaoke", {"vocals": None, "drums": 0.0, "bass": 0.0, "other": 0.0}),
        Mix("quiet", {"vocals": -12.0, "drums": 6.0}, -3.0),
        Mix("same", {"vocals": 0.0, "drums": 0.0, "bass": 0.0, "other": 0.0}),
    ]
    outcome = run(tmp_path, song, *mixes, engine=FourStems(), stems=("vocals",))
    np.testing.assert_allclose(heard(tmp_path, "vocals"), song * 0.3, atol=1e-6)
    np.testing.assert_allclose(heard(tmp_path, "minus-vocals"), song * 0.7, atol=1e-6)
    np.testing.assert_allclose(heard(tmp_path, "karaoke"), song * 0.7, atol=1e-6)
    np.testing.assert_allclose(heard(tmp_path, "only-drums-bass"), song * 0.55, atol=1e-6)
    np.testing.assert_array_equal(heard(tmp_path, "same"), song)
    db = {gain: 10 ** (gain / 20) for gain in (-12, 6, -3)}
    share = 0.3 * db[-12] + 0.4 * db[6] + 0.3 * db[-3]
    np.testing.assert_allclose(heard(tmp_path, "quiet"), song * share, atol=1e-6)
    made = [(o.kind, o.name) for o in outcome.outputs]
    assert [name for kind, name in made if kind == "stem"] == ["vocals"]
    assert [name for kind, name in made if kind == "mix"] == [mix.name for mix in mixes]
    assert [name for kind, name in made if kind == "waveform"] == ["mixture", "vocals", *(mix.name for mix in mixes)]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {o.filename for o in outcome.outputs}


def test_the_report_and_the_output_tell_the_gains(tmp_path: Path) -> None:
    song = make_song(2)
    outcome = run(
        tmp_path, song, Mix("karaoke", {"vocals": None, "accompaniment": -6.0}), format_options={"bit_depth": 16}
    )
    told = outcome.report["mixes"]["karaoke"]
    assert (told["gains_db"], told["rest_db"]) == ({"vocals": None, "accompaniment": -6.0}, 0.0)
    assert told["peak_db"] == pytest.approx(20 * np.log10(0.75 * np.abs(song).max()) - 6, abs=0.02)
    assert outcome.report["gain_db"] == 0
    (mix,) = (o for o in outcome.outputs if o.kind == "mix")
    assert dict(mix.details) == told
    assert (mix.filename, mix.content_type) == ("karaoke.wav", "audio/wav")


def test_one_gain_keeps_stems_and_mixes_from_clipping(tmp_path: Path) -> None:
    song = make_song(2)
    outcome = run(tmp_path, song, Mix("loud", {"vocals": 24.0}), format="flac", format_options={"bit_depth": 24})
    share = 0.75 + 0.25 * 10 ** (24 / 20)
    gain = 0.9999 / (share * np.abs(song).max())
    assert outcome.report["gain_db"] == pytest.approx(20 * np.log10(gain), abs=0.01)
    for name, part in (("vocals", 0.25), ("accompaniment", 0.75), ("loud", share)):
        np.testing.assert_allclose(
            decode(tmp_path / "out" / f"{name}.flac", channels=2), song * part * gain, atol=2e-6, err_msg=name
        )
    quieter = f"{-20 * np.log10(gain):.2f} dB quieter"
    assert outcome.report["notes"] == [
        f"All stems and mixes were made {quieter}, because the loudest one would have clipped."
    ]


@pytest.mark.parametrize("scratch_seconds", [10.0, 4.3, 2.2])
def test_mixes_alone_also_if_the_stems_do_not_fit_on_the_disk(tmp_path: Path, scratch_seconds: float) -> None:
    song, engine = make_song(2), FourStems()
    limits = Limits(max_scratch_bytes=int(scratch_seconds * 44_100 * 2 * 4))
    outcome = run(tmp_path, song, read_mix("minus:vocals+bass"), engine=engine, stems=(), limits=limits)
    np.testing.assert_allclose(heard(tmp_path, "minus-vocals-bass"), song * 0.55, atol=1e-4)
    assert [o.name for o in outcome.outputs if o.kind == "mix"] == ["minus-vocals-bass"]
    assert not [o for o in outcome.outputs if o.kind == "stem"]
    assert engine.runs == (1 if scratch_seconds > 2.5 else 2)


def test_a_mix_of_an_excerpt_has_the_samples_of_the_excerpt(tmp_path: Path) -> None:
    song = make_song(3)
    run(
        *(tmp_path, song, Mix("same", {"vocals": 0.0})),
        stems=(),
        excerpt_start_seconds=1.0,
        excerpt_duration_seconds=1.5,
    )
    np.testing.assert_array_equal(heard(tmp_path, "same"), song[:, 44_100:110_250])


def test_a_derived_stem_can_be_mixed(tmp_path: Path) -> None:
    song = make_song(1)
    run(tmp_path, song, read_mix("soft=accompaniment:-6"), engine=FourStems(), stems=())
    np.testing.assert_allclose(heard(tmp_path, "soft"), song * (0.3 + 0.7 * 10 ** (-6 / 20)), atol=1e-6)


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (Mix("karaoke", {"drums": None}), "The engine share has the stems vocals, accompaniment."),
        (Mix("Vocals", {"vocals": None}), "A mix cannot be called 'Vocals': that is the name of a stem."),
    ],
)
def test_mixes_that_the_engine_cannot_make_are_refused(tmp_path: Path, mix: Mix, message: str) -> None:
    with pytest.raises(RequestInvalidError, match=message):
        run(tmp_path, make_song(1), mix)


def test_a_run_without_any_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestInvalidError):
        run(tmp_path, make_song(1), stems=())
