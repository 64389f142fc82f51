"""Which models of a folder become engines."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fixtures.stand_ins.tiny_mdx import make_tiny_mdx_model
from worker.child.engine_descriptions import models_state
from worker.engines.registry import engines_here


def break_origin(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "origin": None}))


def test_a_broken_model_takes_no_other_engine_down(tmp_path: Path) -> None:
    make_tiny_mdx_model(tmp_path / "good", name="good")
    break_origin(make_tiny_mdx_model(tmp_path / "bad", name="bad"))
    assert set(engines_here(model_folder=tmp_path)) == {"repetition", "good"}
    assert {name for name, *_ in models_state(tmp_path)} == {"good", "bad"}
