"""A child leaves the processor to other processes, of its own session and of others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.child.process import NICE, ChildProcess


def test_a_child_yields_within_its_session_and_beside_others(tmp_path: Path) -> None:
    child = ChildProcess(threads=1, scratch_folder=tmp_path)
    try:
        assert os.getpriority(os.PRIO_PROCESS, child.pid) >= NICE
        assert os.sched_getscheduler(child.pid) == os.SCHED_BATCH
        group = Path(f"/proc/{child.pid}/autogroup")
        if not group.is_file():
            pytest.skip("this kernel does not share processors out by sessions")
        assert group.read_text().split()[-1] == str(NICE)
        assert group.read_text() != Path("/proc/self/autogroup").read_text()
    finally:
        child.end()
