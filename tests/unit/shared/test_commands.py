"""The console scripts say what they lack."""

from __future__ import annotations

import pytest

from shared import commands


def test_a_command_whose_half_is_not_installed_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_worker(_name: str) -> None:
        raise ModuleNotFoundError("No module named 'worker'", name="worker")

    monkeypatch.setattr(commands, "import_module", without_worker)
    with pytest.raises(SystemExit, match=r"^stemqueue-separate is not part of this image or installation"):
        commands.separate()


def test_a_module_of_ours_that_is_missing_is_a_fault_with_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_name: str) -> None:
        raise ModuleNotFoundError("No module named 'worker.no'", name="worker.no")

    monkeypatch.setattr(commands, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        commands.separate()
