"""Inference: magnitudes in, gains out, chunk after chunk, by onnxruntime, by OpenVINO or by loops of our own.

One network runs on one thread: the parallelism lies above, over the networks, where no thread waits for
another within a layer. Two networks on a thread each take a tenth less time than one after the other on
two threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.engine.errors import EngineUnavailableError
from worker.engine.interface import FloatArray
from worker.engine.unet.machine import this_machine
from worker.engine.unet.manifest import Manifest, verify_files

States = Mapping[str, NDArray[Any]]


class Network(Protocol):
    """A loaded network. It holds no state itself, so one serves several streams."""

    def empty_states(self) -> States:
        """Return states of zeros."""

    def step(self, magnitudes: FloatArray, states: States) -> tuple[FloatArray, States]:
        """Return gains of the shape of the magnitudes, (channels, frames, bins), and the next states.

        Those given may be changed: whoever needs them longer copies them before.
        """


class OnnxNetwork:
    """A network in onnxruntime. Raises EngineUnavailableError when that is missing or refuses the file."""

    def __init__(self, path: Path) -> None:
        try:
            # 40 MB and 0.1 s, which only a worker that runs this engine should pay.
            import onnxruntime  # noqa: PLC0415
            from onnxruntime.capi import onnxruntime_pybind11_state as reasons  # noqa: PLC0415
        except ImportError as error:
            raise EngineUnavailableError("This engine needs the package onnxruntime.") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Set-up has optimised the graph; to do it again costs seconds and a second copy of the weights.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Both off: memory goes back after each node, which halves the peak at no cost in time.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
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
        self._outputs = [output.name for output in self._session.get_outputs()]

    def empty_states(self) -> States:
        """Return states of zeros."""
        inputs = self._session.get_inputs()
        return {value.name: np.zeros(value.shape, np.float32) for value in inputs if value.name != "magnitudes"}

    def step(self, magnitudes: FloatArray, states: States) -> tuple[FloatArray, States]:
        """Return gains of the shape of the magnitudes, (channels, frames, bins), and the next states."""
        values = self._session.run(self._outputs, {"magnitudes": magnitudes[None], **states})
        results: dict[str, Any] = dict(zip(self._outputs, values, strict=True))
        gains = results.pop("gains")
        return gains[0], {name.removeprefix("next_"): value for name, value in results.items()}


class OpenVinoNetwork:
    """A network in OpenVINO with bfloat16, for processors that have the instructions; others are slow at it.

    Raises EngineUnavailableError when OpenVINO is missing or refuses the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            import openvino  # noqa: PLC0415 - as with onnxruntime
        except ImportError as error:
            raise EngineUnavailableError("This model was set up for the package openvino.") from error
        options = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            # Pinned, the threads of two jobs would share one core.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            compiled = openvino.Core().compile_model(path, "CPU", options)
        except RuntimeError as error:
            raise EngineUnavailableError(f"openvino cannot load {path.name}; set the model up again.") from error
        self._shapes = {value.get_any_name(): tuple(value.shape) for value in compiled.inputs}
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()
        self._outputs = [_name_of(output.get_names()) for output in compiled.outputs]

    def empty_states(self) -> States:
        """Return states of zeros."""
        return {name: np.zeros(shape, np.float32) for name, shape in self._shapes.items() if name != "magnitudes"}

    def step(self, magnitudes: FloatArray, states: States) -> tuple[FloatArray, States]:
        """Return gains of the shape of the magnitudes, (channels, frames, bins), and the next states."""
        with self._lock:
            values = self._request.infer({"magnitudes": magnitudes[None], **states}).values()
        results = dict(zip(self._outputs, values, strict=True))
        gains = results.pop("gains")
        return gains[0], {name.removeprefix("next_"): value for name, value in results.items()}


def _name_of(names: set[str]) -> str:
    """Return the name of an output; OpenVINO joins the names of nodes that it has merged."""
    return next(name for name in names if name == "gains" or name.startswith("next_"))


def _compiled_network(path: Path) -> Network:
    """Load a network that numba's loops run: the module has instructions that not every processor knows."""
    from worker.engine.unet.bfloat16.network import Bfloat16Network  # noqa: PLC0415

    return Bfloat16Network(path)


RUNTIMES: Mapping[str, Callable[[Path], Network]] = {
    "onnxruntime": OnnxNetwork,
    "numba": _compiled_network,
    "openvino": OpenVinoNetwork,
}
"""The packages that can run a network. Set-up chooses one for the machine."""


class InitialStates:
    """Reads the states of all stems' networks at a track's begin, in order: arrays named `stem/state` in an archive.

    They are read anew for each track: kept, they would be 30 MB beside those that a track is at.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._path = path
        self._stems = manifest.stems
        self._ahead: tuple[States, ...] | None = None

    def read_ahead(self) -> None:
        """Read what the next call returns."""
        self._ahead = self._read()

    def __call__(self) -> tuple[States, ...]:
        """Return states that nobody else has."""
        states, self._ahead = self._ahead or self._read(), None
        return states

    def _read(self) -> tuple[States, ...]:
        with np.load(self._path, allow_pickle=False) as archive:
            return tuple(
                {name.removeprefix(f"{stem}/"): archive[name] for name in archive.files if name.startswith(f"{stem}/")}
                for stem in self._stems
            )


@dataclass(frozen=True)
class Model:
    """The loaded networks of all stems, in order, and what gives the states that each begins with."""

    networks: tuple[Network, ...]
    initial_states: InitialStates


def check_machine(folder: Path, manifest: Manifest) -> None:
    """Raise EngineUnavailableError if the networks were made for another machine than this."""
    if manifest.runtime not in RUNTIMES:
        raise EngineUnavailableError(f"The model in {folder} needs {manifest.runtime}, which is not known here.")
    if manifest.built_for and this_machine(tuple(RUNTIMES)) != manifest.built_for:
        raise EngineUnavailableError(
            f"The model in {folder} was optimised for another processor or other packages; set it up again."
        )


def load_model(folder: Path, manifest: Manifest) -> Model:
    """Check the files of a model folder and load its networks. Raises EngineUnavailableError."""
    verify_files(folder, manifest)
    networks = tuple(RUNTIMES[manifest.runtime](folder / name) for name in manifest.networks)
    return Model(networks, InitialStates(folder / manifest.initial_states, manifest))
