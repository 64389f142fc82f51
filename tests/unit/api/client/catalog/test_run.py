"""How an earlier run in the output folder affects a new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.client.catalog.run import OtherRunError, RunOptions, begin_run
from api.client.catalog.run_state import RunState
from api.client.catalog.tracks.sources import find_source


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    folder = tmp_path / "songs"
    folder.mkdir()
    (folder / "one.flac").write_bytes(b"one")
    return folder


def options_of(source: Path | str, out: Path, engine: str = "unet") -> RunOptions:
    return RunOptions(find_source(str(source)), out, {"name": "songs", "defaults": {"engine": engine}})


def test_what_was_refused_before_anything_was_sent_is_begun_anew(songs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with RunState(out, writes=True) as state:
        begin_run(state, options_of(songs, out, engine="unett"), resume=False)
    with RunState(out, writes=True) as state:
        begin_run(state, options_of("s3://mistyped/songs", out), resume=False)
    with RunState(out, writes=True) as state:
        begun = begin_run(state, options_of(songs, out), resume=False)
        assert begun.batch["defaults"] == {"engine": "unet"}
        assert [row["folder"] for row in state.find_items()] == ["one"], "its folder is free again"


def test_what_was_sent_is_gone_on_with_only_when_told_so(songs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with RunState(out, writes=True) as state:
        begin_run(state, options_of(songs, out), resume=False)
        state.change_item(1, state="ready", source='{"upload_id": "0"}')
    with RunState(out, writes=True) as state:
        with pytest.raises(OtherRunError, match="--resume continues it"):
            begin_run(state, options_of(songs, out), resume=False)
        with pytest.raises(OtherRunError, match="contains a run of"):
            begin_run(state, options_of("s3://other/songs", out), resume=True)
        begin_run(state, options_of(songs, out), resume=True)
        assert [row["state"] for row in state.find_items()] == ["ready"]
