"""One heap for all threads, as the C library reports it, in a process that has no threads yet."""

from __future__ import annotations

import subprocess
import sys

COUNT_HEAPS = """
import ctypes, sys, threading
from worker.run_support.process_memory import use_one_heap
if "one" in sys.argv:
    use_one_heap()
def hold(barrier):
    kept = [bytes(100_000) for _ in range(100)]
    barrier.wait()
barrier = threading.Barrier(4)
threads = [threading.Thread(target=hold, args=(barrier,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


def count_heaps(*arguments: str) -> int:
    command = [sys.executable, "-c", COUNT_HEAPS, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.count("<heap nr=")


def test_threads_share_one_heap_after_use_one_heap():
    assert count_heaps() > 1
    assert count_heaps("one") == 1
