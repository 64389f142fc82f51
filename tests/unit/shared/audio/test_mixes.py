"""Mixes: their short forms, and what they may be called."""

from __future__ import annotations

import pytest

from shared.audio.mixes import Mix, problem_of_names, read_mix, read_mixes, read_stems


@pytest.mark.parametrize(
    ("text", "mix"),
    [
        ("minus:vocals", Mix("minus-vocals", {"vocals": None}, 0.0)),
        ("minus:drums+bass", Mix("minus-drums-bass", {"drums": None, "bass": None}, 0.0)),
        ("only:drums+bass", Mix("only-drums-bass", {"drums": 0.0, "bass": 0.0}, None)),
        (" karaoke=minus:vocals ", Mix("karaoke", {"vocals": None}, 0.0)),
        ("quiet=vocals:-12+drums:off", Mix("quiet", {"vocals": -12.0, "drums": None}, 0.0)),
        ("loud=vocals:+3+drums:1.5", Mix("loud", {"vocals": 3.0, "drums": 1.5}, 0.0)),
    ],
)
def test_short_forms(text: str, mix: Mix) -> None:
    assert read_mix(text) == mix


@pytest.mark.parametrize(
    "text",
    [
        *("", "vocals", "minus:", "minus:vocals+", "minus:vocals+vocals", "only:", "=minus:vocals", "a b=minus:vocals"),
        *(
            "vocals:-6",
            "x=vocals:loud",
            "x=vocals:",
            "x=vocals:25",
            "x=vocals:-61",
            "x=vocals:0+vocals:0",
            "x=vocals:nan",
        ),
    ],
)
def test_what_is_no_short_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_mix(text)


def test_the_name_of_a_long_short_form_is_cut_to_a_valid_one() -> None:
    mix = read_mix("only:" + "+".join(f"stem{n:02}" for n in range(20)))
    assert len(mix.name) == 64
    assert len(mix.gains_db) == 20


def test_names_are_distinct_from_each_other_and_from_stems_whatever_their_case() -> None:
    assert problem_of_names(["karaoke", "drumless"], ["vocals", "drums"]) is None
    assert problem_of_names(["Vocals"], ["vocals"]) == "a mix cannot be called 'Vocals': that is the name of a stem"
    assert problem_of_names(["karaoke", "Karaoke"]) == "two mixes are called 'Karaoke'"
    for name in ("mixture", "report", "spectrogram", "NUL", "con.old"):
        assert problem_of_names([name]) == f"a mix cannot be called {name!r}: that name is reserved"
    with pytest.raises(ValueError, match="two mixes are called"):
        read_mixes(["minus:vocals", "minus-vocals=only:drums"])


def test_none_is_an_empty_list_of_stems() -> None:
    assert read_stems("none") == []
    assert read_stems("vocals, drums;bass") == ["vocals", "drums", "bass"]
