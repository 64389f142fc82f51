"""A clone runs one stack; a second start fails and names the URL of the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.processes import ServiceStartError
from deploy.local.stack_lock import AlreadyRunningError, hold_stack_lock


def test_the_second_stack_of_a_clone_learns_where_the_first_is(tmp_path: Path) -> None:
    with hold_stack_lock(tmp_path, "http://127.0.0.1:8000"):
        with pytest.raises(AlreadyRunningError) as refused, hold_stack_lock(tmp_path, "http://127.0.0.1:9000"):
            pass
        assert refused.value.url == "http://127.0.0.1:8000"
    with hold_stack_lock(tmp_path, "http://127.0.0.1:9000"):
        pass


def test_a_state_folder_that_is_a_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    taken = tmp_path / "var"
    taken.write_text("no folder")
    with pytest.raises(ServiceStartError, match="var cannot be used: File exists"), hold_stack_lock(taken, "http://x"):
        pass
