"""Names and options, on whatever people type."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.contract.job_requests import form_options
from shared.audio.formats import FORMATS
from shared.errors import FieldsInvalidError
from shared.parsing.file_names import MAX_FILENAME_CHARACTERS, clean_filename


@given(st.text(max_size=600))
def test_no_name_holds_a_path_or_a_control_character(name: str) -> None:
    kept = clean_filename(name)
    assert kept
    assert len(kept) <= MAX_FILENAME_CHARACTERS
    assert "/" not in kept
    assert "\\" not in kept
    assert not any(unicodedata.category(c).startswith("C") for c in kept)
    assert clean_filename(kept) == kept


@pytest.mark.parametrize("name", ["", ".", "..", "a/..", "\u202e", "\x00"])
def test_a_name_that_names_nothing_is_replaced(name: str) -> None:
    assert clean_filename(name) == "audio"


@given(st.dictionaries(st.sampled_from(["engine", "stems", "excerpt", "metadata", "bit_depth", "x"]), st.text()))
def test_any_form_is_options_or_names_its_fault(fields: dict[str, str]) -> None:
    try:
        form_options(fields)
    except FieldsInvalidError as error:
        faults = error.errors
    else:
        return
    assert all(set(fault) >= {"field", "message"} for fault in faults)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_the_workers_can_be_asked_for(name: str) -> None:
    assert form_options({"format": name}).format == name


def test_both_ways_to_say_an_excerpt_are_one() -> None:
    flat = form_options({"excerpt_start_seconds": "90", "excerpt_duration_seconds": "20"})
    assert flat == form_options({"excerpt": '{"start_seconds": 90, "duration_seconds": 20}'})


@pytest.mark.parametrize("text", ["[1]", '"90+20"', "1"])
def test_an_excerpt_that_is_no_object_is_refused_beside_flat_fields_too(text: str) -> None:
    with pytest.raises(FieldsInvalidError):
        form_options({"excerpt": text, "excerpt_start_seconds": "1"})
