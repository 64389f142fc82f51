"""Names of exported copies: safe as keys and as paths, whatever a track is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RequestInvalidError
from shared.export_names import MAX_KEY_BYTES, UNSAFE, check_template, export_key

TEMPLATES = ("{track}/{stem}.{format}", "{number}-{stem}", "a/../{track}/./{stem}", "/{track}{stem}/")


@given(track=st.text(), prefix=st.text(max_size=50), template=st.sampled_from(TEMPLATES))
def test_no_track_leads_out_of_the_prefix(track: str, prefix: str, template: str) -> None:
    values = {"track": track, "number": "000001", "stem": "vocals", "format": "flac"}
    try:
        key = export_key(prefix, check_template(template), values)
    except RequestInvalidError:
        assert len((prefix + track).encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES / 4
        return
    parts = key.split("/")
    assert all(part and part == part.strip(". ") for part in parts)
    assert not UNSAFE & set(key)
    assert 0 < len(key.encode()) <= MAX_KEY_BYTES
    assert "vocals" in key


@pytest.mark.parametrize(
    "template", ["{track}.flac", "{stem}.flac", "{track}{stem", "{track}{stem}{owner}", "{}{stem}"]
)
def test_templates_that_cannot_name_every_stem_are_refused(template: str) -> None:
    with pytest.raises(RequestInvalidError):
        check_template(template)


def test_a_template_is_filled_in_once() -> None:
    values = {"track": "{stem}", "number": "000007", "stem": "vocals", "format": "mp3"}
    assert export_key("out", "{track}/{number}.{stem}.{format}", values) == "out/{stem}/000007.vocals.mp3"
