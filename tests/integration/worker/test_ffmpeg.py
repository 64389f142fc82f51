from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worker import ffmpeg

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
        "from worker import ffmpeg\n"
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


# What somebody would do who had taken the decoder over, in a shell that stands in for it.
BREAK_OUT = """
for path in /etc/passwd /proc/$PPID/environ {secret}; do cat "$path" >/dev/null && echo "read $path"; done
for path in {folder}/elsewhere {writable}/here; do echo x >"$path" && echo "wrote $path"; done
kill -0 $PPID && echo "may signal"
(: >/dev/tcp/127.0.0.1/{port}) && echo "connected"
true
"""


def test_who_takes_it_over_reads_writes_and_reaches_nothing(tmp_path: Path) -> None:
    version = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)
    if version < 6:
        pytest.skip("this kernel has no Landlock of version 6")
    secret, writable = tmp_path / "secret", tmp_path / "writable"
    secret.write_text("key")
    writable.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = BREAK_OUT.format(secret=secret, folder=tmp_path, writable=writable, port=port)

        def said(command: list[str]) -> list[str]:
            return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()

        shell = ["/bin/bash", "-c", script]
        limits = [str(os.getpid()), str(1 << 30), "10", str(1 << 20), str(writable)]
        assert len(said(shell)) == 7, "outside, all of it works"
        walled = said([sys.executable, "-I", "-S", str(ffmpeg.CONFINE_SCRIPT), *limits, *shell])
    assert walled == [f"wrote {writable}/here"]
