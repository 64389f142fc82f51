"""The program of a child process: reads work from one pipe, runs the pipeline, and writes events to another.

Each message is a JSON object on a line of its own. The process holds no credentials: its supervisor has fetched the
files that it needs. It stays warm between jobs, since its imports take seconds. It runs in a sandbox, and the kernel
kills it when its parent ends (process.py starts it that way).

    in   {"work": {...}}                           one separation; the process exits when the pipe is closed
    out  {"event": "ready"}                        the imports are done
         {"event": "progress", "stage": ..., "progress": 0 to 1}
         {"event": "probed", "source": {...}}
         {"event": "done", "outcome": {...}}       or
         {"event": "error", "code": ..., "message": ..., "retryable": ...}
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import OutOfMemoryError, ScratchFullError, SeparationFailedError, StemqueueError
from worker.engines.errors import EngineError, EngineUnavailableError
from worker.run_messages import Work, overall_progress
from worker.run_support.process_memory import give_memory_back, use_one_heap
from worker.run_support.workspace import is_disk_full

PROGRESS_PAUSE_SECONDS = 0.2
"""The shortest time between two progress events of a stage. Lowering it floods the pipe, raising it makes the progress
jump."""

SendEvent = Callable[[Mapping[str, Any]], None]


def main() -> None:
    """Run separations until the pipe is closed."""
    use_one_heap()
    send_event = _take_over_stdout()
    # Only now is the pipe safe from what these imports may print.
    from worker.pipeline.run import separate_song, warm_up  # noqa: PLC0415

    warm_up()
    send_event({"event": "ready"})
    for line in sys.stdin:
        work = Work.from_json(json.loads(line)["work"])
        send_event(_run_work(work, send_event, separate_song))
        give_memory_back()


def _take_over_stdout() -> SendEvent:
    # Libraries may print to stdout: the pipe gets another descriptor, and stdout becomes stderr.
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send_event(event: Mapping[str, Any]) -> None:
        pipe.write(json.dumps(event) + "\n")
        pipe.flush()

    return send_event


def _run_work(  # noqa: PLR0911 - one return for each kind of error
    work: Work, send_event: SendEvent, run: Callable[..., Any]
) -> Mapping[str, Any]:
    """Return the last event of a separation: `done` or `error`."""
    last, last_stage = 0.0, ""

    def report_progress(stage: str, fraction: float) -> None:
        nonlocal last, last_stage
        now = time.monotonic()
        # The supervisor measures the stages by their first events.
        if now - last >= PROGRESS_PAUSE_SECONDS or stage != last_stage:
            last, last_stage = now, stage
            send_event({"event": "progress", "stage": stage, "progress": overall_progress(stage, fraction)})

    def report_probed(source: Mapping[str, Any]) -> None:
        send_event({"event": "probed", "source": dict(source)})

    try:
        return {"event": "done", "outcome": run(work, report_progress, report_probed=report_probed).to_json()}
    except EngineUnavailableError as error:
        # Another worker may have the model, or this one soon: models are added and built again while workers run.
        return _error(error.code, error.message, retryable=True)
    except EngineError as error:
        return _error(error.code, error.message, retryable=False)
    except StemqueueError as error:
        return _error(error.code, error.message, retryable=error.retryable)
    except MemoryError:
        return _error(OutOfMemoryError.code, "The worker ran out of memory.", retryable=True)
    except OSError as error:
        if is_disk_full(error):
            return _error(ScratchFullError.code, ScratchFullError().message, retryable=True)
        return _internal_error()
    except Exception:  # noqa: BLE001 - the supervisor gets the error, the log the traceback
        return _internal_error()


def _internal_error() -> Mapping[str, Any]:
    traceback.print_exc()
    return _error(SeparationFailedError.code, "The separation stopped with an internal error.", retryable=True)


def _error(code: str, message: str, *, retryable: bool) -> Mapping[str, Any]:
    return {"event": "error", "code": code, "message": message, "retryable": retryable}


if __name__ == "__main__":
    main()
