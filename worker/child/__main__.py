"""The child's side of a separation: reads work from a pipe, runs the pipeline, tells events on another.

Owns the far end of the protocol, one JSON object a line. The process holds no credentials: what it needs lies in
files that its supervisor fetched. It stays warm between jobs, since its imports cost seconds. It runs in a sandbox,
and dies with its parent (process.py starts it so).

    in   {"work": {...}}                           one separation; the end of the pipe ends the process
    out  {"event": "ready"}                        the imports are done
         {"event": "progress", "stage": ..., "progress": 0 to 1}
         {"event": "probed", "source": {...}}
         {"event": "done", "outcome": {...}}       or
         {"event": "error", "code": ..., "message": ..., "retryable": ...}
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import OutOfMemoryError, ScratchFullError, SeparationFailedError, StemqueueError
from worker.engines.errors import EngineError
from worker.run_messages import Work, overall_progress
from worker.run_support.process_memory import give_memory_back, use_one_heap

PROGRESS_PAUSE_SECONDS = 0.2
"""Progress is told no more often than this; lowering it floods the pipe, raising it makes the bar jump."""

Tell = Callable[[Mapping[str, Any]], None]


def main() -> None:
    """Serve work until the pipe closes."""
    use_one_heap()
    tell = _private_output()
    # Only now is the pipe safe from what these imports may print.
    from worker.pipeline.run import separate_song, warm_up  # noqa: PLC0415

    warm_up()
    tell({"event": "ready"})
    for line in sys.stdin:
        tell(_serve(Work.from_json(json.loads(line)["work"]), tell, separate_song))
        give_memory_back()


def _private_output() -> Tell:
    # Libraries print where they like: the pipe gets a descriptor of its own, and stdout becomes stderr.
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(event: Mapping[str, Any]) -> None:
        pipe.write(json.dumps(event) + "\n")
        pipe.flush()

    return tell


def _serve(work: Work, tell: Tell, run: Callable[..., Any]) -> Mapping[str, Any]:  # noqa: PLR0911 - one return an error
    last = 0.0

    def report_progress(stage: str, fraction: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_PAUSE_SECONDS:
            last = now
            tell({"event": "progress", "stage": stage, "progress": overall_progress(stage, fraction)})

    def report_probed(source: Mapping[str, Any]) -> None:
        tell({"event": "probed", "source": dict(source)})

    try:
        return {"event": "done", "outcome": run(work, report_progress, report_probed=report_probed).to_json()}
    except EngineError as error:
        return _error(error.code, error.message, retryable=False)
    except StemqueueError as error:
        return _error(error.code, error.message, retryable=error.retryable)
    except MemoryError:
        return _error(OutOfMemoryError.code, "The worker ran out of memory.", retryable=True)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            return _error(ScratchFullError.code, "The worker's scratch disk is full.", retryable=True)
        return _defect()
    except Exception:  # noqa: BLE001 - whatever it is, the supervisor hears of it and the log has the traceback
        return _defect()


def _defect() -> Mapping[str, Any]:
    traceback.print_exc()
    return _error(SeparationFailedError.code, "The separation stopped with an internal error.", retryable=True)


def _error(code: str, message: str, *, retryable: bool) -> Mapping[str, Any]:
    return {"event": "error", "code": code, "message": message, "retryable": retryable}


if __name__ == "__main__":
    main()
