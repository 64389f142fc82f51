"""The kernel's counters of processes that it killed for memory, as its versions and containers show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.jobs.oom_kills import oom_kills


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    write(tmp_path / "proc/vmstat", "nr_free_pages 5\noom_kill 3\noom_kill_other 9\n")
    return tmp_path / "proc"


def test_version_2_counts_in_the_own_group(proc: Path, tmp_path: Path) -> None:
    write(proc / "self/cgroup", "0::/system.slice/worker.service\n")
    write(tmp_path / "cgroup/system.slice/worker.service/memory.events", "low 0\noom 9\noom_kill 4\n")
    assert oom_kills(proc, tmp_path / "cgroup") == 3 + 4


def test_version_1_in_a_container_shows_the_own_group_at_the_root(proc: Path, tmp_path: Path) -> None:
    write(proc / "self/cgroup", "12:cpu,cpuacct:/docker/0123\n9:memory:/docker/0123\n0::/docker/0123\n")
    write(tmp_path / "cgroup/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert oom_kills(proc, tmp_path / "cgroup") == 3 + 2


def test_the_whole_machine_is_all_that_some_kernels_tell(proc: Path, tmp_path: Path) -> None:
    assert oom_kills(proc, tmp_path / "cgroup") == 3


def test_no_counter_at_all_is_none_killed(tmp_path: Path) -> None:
    assert oom_kills(tmp_path / "proc", tmp_path / "cgroup") == 0
