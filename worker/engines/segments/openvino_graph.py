"""Loads a graph in OpenVINO, which computes it in bfloat16, and runs it while its caller reports progress.

For processors with instructions for bfloat16; on others it is slow. openvino is an optional package, and is imported
late: only a worker that runs such an engine should spend the memory.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from worker.engines.errors import EngineUnavailableError
from worker.engines.interface import FloatArray, Progress
from worker.engines.segments.onnx_graph import REPORT_SECONDS, SLOW_RUN_SECONDS, estimated_fraction


class OpenVinoGraph:
    """A graph in OpenVINO. Raises EngineUnavailableError if OpenVINO is missing or cannot load the file.

    Parameters
    ----------
    path
        The graph. Its weights lie in a file beside it.
    threads
        How many threads run a layer. Networks of full size were compared with 1, 2 and 3: the same bits.
    """

    def __init__(self, path: Path, threads: int) -> None:
        try:
            import openvino  # noqa: PLC0415 - see above
        except ImportError as error:
            raise EngineUnavailableError("This model was set up for the package openvino.") from error
        options = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # With pinning, the threads of two jobs would share one core.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            self._request = openvino.Core().compile_model(path, "CPU", options).create_infer_request()
        except RuntimeError as error:
            raise EngineUnavailableError(f"openvino cannot load {path.name}; set the model up again.") from error
        self._expected_seconds = SLOW_RUN_SECONDS

    def run(self, inputs: Mapping[str, FloatArray], progress: Progress) -> list[FloatArray]:
        """Return the outputs in their order, as `Graph.run` says."""
        started = time.monotonic()
        self._request.start_async(dict(inputs), share_inputs=True)
        try:
            while not self._request.wait_for(round(1000 * REPORT_SECONDS)):
                progress(estimated_fraction(time.monotonic() - started, self._expected_seconds))
        except BaseException:
            self._request.cancel()
            # A cancelled run ends with an error, unless it was already over.
            with contextlib.suppress(RuntimeError):
                self._request.wait()
            raise
        self._expected_seconds = max(REPORT_SECONDS, time.monotonic() - started)
        return [tensor.data for tensor in self._request.output_tensors]
