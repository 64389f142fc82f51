from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from worker.audio_files import ffmpeg
from worker.sandbox import launch

ENDLESS = ["-f", "lavfi", "-i", "anullsrc", "-f", "null", "-"]


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def wait_for_exec(pid: int) -> None:
    for _ in range(200):
        if "ffmpeg" in Path(f"/proc/{pid}/exe").readlink().name:
            return
        time.sleep(0.02)
    raise AssertionError("ffmpeg did not start")


def test_the_process_has_limits_no_environment_and_no_way_to_new_rights() -> None:
    process = ffmpeg.start(
        ENDLESS,
        ffmpeg_path=None,
        confinement=ffmpeg.Confinement(memory_bytes=1 << 30, cpu_seconds=7, file_bytes=12345),
    )
    try:
        wait_for_exec(process.pid)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert Path(f"/proc/{process.pid}/environ").read_bytes() == b""
        assert status(process.pid)["NoNewPrivs"] == "1"
        assert os.getpgid(process.pid) == os.getpgid(0)
        for row in ("Max cpu time              7 ", "Max file size             12345 ", "Max core file size        0 "):
            assert row in limits
        assert f"Max address space         {1 << 30} " in limits
    finally:
        process.kill()
        process.wait()


def test_it_dies_with_its_parent() -> None:
    script = (
        "from worker.audio_files import ffmpeg\n"
        f"process = ffmpeg.start({ENDLESS!r}, ffmpeg_path=None, confinement=ffmpeg.Confinement())\n"
        "print(process.pid, flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_for_exec(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or status(pid)["State"].startswith("Z"):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("ffmpeg outlived its parent")


def test_the_processor_time_is_bounded_and_does_not_look_like_a_kill_from_outside() -> None:
    process = ffmpeg.start(
        ["-f", "lavfi", "-i", "mandelbrot", "-f", "null", "-"],
        ffmpeg_path=None,
        confinement=ffmpeg.Confinement(cpu_seconds=1),
    )
    try:
        assert ffmpeg.wait(process, seconds=60)
        assert process.returncode in {255, -signal.SIGXCPU}
        ffmpeg.demand_not_killed(process.returncode)
    finally:
        process.kill()
        process.wait()


def test_waiting_ends_when_the_time_is_up() -> None:
    process = ffmpeg.start(ENDLESS, ffmpeg_path=None, confinement=ffmpeg.Confinement())
    try:
        assert not ffmpeg.wait(process, seconds=0.05)
    finally:
        process.kill()
        process.wait()


def test_it_has_no_capabilities_and_a_filter() -> None:
    process = ffmpeg.start(ENDLESS, ffmpeg_path=None, confinement=ffmpeg.Confinement())
    try:
        wait_for_exec(process.pid)
        told = status(process.pid)
        assert {told[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff")} == {"0" * 16}
        if launch.protection().seccomp:
            assert told["Seccomp"] == "2"
    finally:
        process.kill()
        process.wait()
