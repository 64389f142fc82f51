"""Which stems a job may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from shared.queue.engine_catalog import _check_stems

FOUR: dict[str, Any] = {"stems": ["drums", "bass", "other", "vocals"], "derived_stems": ["accompaniment"]}


@pytest.mark.parametrize("stems", [(), ("vocals",), ("vocals", "accompaniment"), ("accompaniment",)])
def test_a_job_may_ask_for_an_engine_s_stems_and_those_derived_from_them(stems: tuple[str, ...]) -> None:
    assert _check_stems(FOUR, stems) == []


def test_other_stems_are_refused_with_all_that_there_are() -> None:
    (error,) = _check_stems(FOUR, ("piano", "vocals"))
    assert error["field"] == "stems"
    assert "accompaniment" in error["message"]


def test_workers_of_older_versions_tell_of_no_derived_stems() -> None:
    assert _check_stems({"stems": ["vocals"]}, ("vocals",)) == []
    assert _check_stems({"stems": ["vocals"]}, ("accompaniment",))
