"""Opens a graph in onnxruntime, and says in one sentence why that is not possible.

onnxruntime is imported here alone, and late: it takes 40 MB and 0.1 s, which only a worker that runs such an engine
should spend.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.engines.errors import EngineUnavailableError


def open_onnx_session(
    path: Path,
    *,
    threads: int,
    options: Mapping[str, bool],
    config_entries: Mapping[str, str],
    optimised: bool = True,
) -> Any:
    """Return a session of onnxruntime on the processor.

    Parameters
    ----------
    path
        The graph. Its weights may lie in a file beside it.
    threads
        How many threads run a layer. Layers run one after another.
    options, config_entries
        Further attributes of `onnxruntime.SessionOptions`, and its configuration entries.
    optimised
        Whether set-up has optimised the graph for this machine. Doing it again would take seconds and a second copy of
        the weights.

    Raises EngineUnavailableError if onnxruntime is missing or cannot load the file.
    """
    try:
        import onnxruntime  # noqa: PLC0415 - see above
        from onnxruntime.capi import onnxruntime_pybind11_state as reasons  # noqa: PLC0415
    except ImportError as error:
        raise EngineUnavailableError("This engine needs the package onnxruntime.") from error
    session_options = new_session_options(threads, options, config_entries)
    if optimised:
        session_options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(str(path), session_options, providers=["CPUExecutionProvider"])
    except (
        reasons.Fail,
        reasons.InvalidArgument,
        reasons.InvalidGraph,
        reasons.InvalidProtobuf,
        reasons.NoSuchFile,
        reasons.NotImplemented,
        reasons.RuntimeException,
    ) as error:
        raise EngineUnavailableError(f"onnxruntime cannot load {path.name}; set the model up again.") from error


def new_session_options(threads: int, options: Mapping[str, bool], config_entries: Mapping[str, str]) -> Any:
    """Return `onnxruntime.SessionOptions` with further attributes and configuration entries."""
    import onnxruntime  # noqa: PLC0415 - see above

    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = threads
    made.inter_op_num_threads = 1
    made.log_severity_level = 3
    for name, value in options.items():
        setattr(made, name, value)
    for name, text in config_entries.items():
        made.add_session_config_entry(name, text)
    return made
