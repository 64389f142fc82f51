"""A stack that is stopped during set-up does not finish building the networks."""

from __future__ import annotations

import io
from pathlib import Path

from deploy.local.console import Console
from deploy.local.stack import Stack
from shared.settings import Settings


def test_a_stack_that_is_to_stop_builds_no_networks(tmp_path: Path) -> None:
    said = io.StringIO()
    stack = Stack(Settings(model_folder=tmp_path / "models"), Console(said))
    stack.stopping.set()
    stack._set_up_models()
    assert not (tmp_path / "models" / "unet").exists()
    assert said.getvalue() == "", "set-up was not waited for"
