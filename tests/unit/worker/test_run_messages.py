from __future__ import annotations

import json

import pytest

from worker.run_messages import STAGE_SHARES, Limits, Outcome, ProducedFile, Work, overall_progress


def test_work_comes_out_of_json_as_it_went_in() -> None:
    work = Work("in", "out", "scratch", "söng.mp3", "unet", stems=("vocals",), limits=Limits(threads=2))
    assert Work.from_json(json.loads(json.dumps(work.to_json()))) == work


def test_an_outcome_comes_out_of_json_as_it_went_in() -> None:
    output = ProducedFile("vocals", "stem", "vocals.flac", "audio/flac", 5, "00", {"peak_db": None})
    outcome = Outcome((output,), {"codec": "mp3"}, {"notes": []})
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


@pytest.mark.parametrize("name", ["/proc/self/environ", "../out/x", "..", "", ".", "a/b"])
def test_an_output_outside_of_its_folder_is_refused(name: str) -> None:
    output = ProducedFile("vocals", "stem", name, "audio/flac", 5, "00")
    with pytest.raises(ValueError, match="not a valid name of an output file"):
        Outcome.from_json(Outcome((output,), {}, {}).to_json())


def test_the_stages_make_one_whole_that_never_falls() -> None:
    steps = [overall_progress(stage, fraction) for stage in STAGE_SHARES for fraction in (0.0, 0.5, 1.0, 2.0)]
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert steps[-1] == pytest.approx(1)
