"""Loads a graph in onnxruntime with little memory, and runs it while its caller reports progress.

`worker/model_setup/` has optimised the graph for this machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from pathlib import Path

from worker.engines.interface import FloatArray, Progress
from worker.engines.onnx_session import open_onnx_session

REPORT_SECONDS = 0.2
"""The time between two reports of progress while a graph runs."""

SLOW_RUN_SECONDS = 10.0
"""How long the first run is assumed to take, for its progress. Later runs are assumed to take as long as the one
before."""


OPTIONS = {"enable_mem_pattern": False, "enable_mem_reuse": False, "enable_cpu_mem_arena": True}
"""For graphs with few, large activations; measured with HT-Demucs and MDX-Net. Without `enable_mem_reuse` a freed
buffer goes back to the arena at once, and the peak falls by 40 percent. A memory pattern would hold all buffers of
a run."""

CONFIG_ENTRIES = {"session.intra_op.allow_spinning": "0"}
"""Otherwise idle threads would keep their processors busy between two layers."""


class OnnxGraph:
    """A graph in onnxruntime. Raises EngineUnavailableError if onnxruntime is missing or cannot load the file.

    Parameters
    ----------
    path
        The graph. Its weights lie in a file beside it.
    threads
        How many threads run a layer. onnxruntime gives each of them whole outputs, so the number changes no bit of the
        result; a test of each family holds that.
    optimised
        Whether set-up has optimised the graph for this machine. Doing it again would take seconds and a second copy of
        the weights.
    """

    def __init__(self, path: Path, threads: int, *, optimised: bool = True) -> None:
        self._session = open_onnx_session(
            path, threads=threads, options=OPTIONS, config_entries=CONFIG_ENTRIES, optimised=optimised
        )
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._expected_seconds = SLOW_RUN_SECONDS

    def run(self, inputs: Mapping[str, FloatArray], progress: Progress) -> list[FloatArray]:
        """Return the outputs in their order.

        A graph cannot report its progress. So it runs on a separate thread, and `progress` is called with an estimate
        from the time of the previous run; it stays below 1. If `progress` raises, the run ends
        after its current layer, and the error passes on.
        """
        import onnxruntime  # noqa: PLC0415 - as in onnx_session.py

        run_options = onnxruntime.RunOptions()
        started = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="onnx-graph") as pool:
            running = pool.submit(self._session.run, self._outputs, dict(inputs), run_options)
            try:
                while not wait_for([running], REPORT_SECONDS).done:
                    progress(estimated_fraction(time.monotonic() - started, self._expected_seconds))
            except BaseException:
                run_options.terminate = True
                raise
        self._expected_seconds = max(REPORT_SECONDS, time.monotonic() - started)
        outputs: list[FloatArray] = running.result()
        return outputs


def estimated_fraction(seconds: float, expected_seconds: float) -> float:
    """Return how much of a run is done after some seconds, below 1.

    It comes ever nearer to 1, so it still moves if this run is slower than the one before.
    """
    return 1 - math.exp(-2 * seconds / expected_seconds)
