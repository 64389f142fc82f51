"""Inference: turns magnitudes into gains, chunk after chunk, with onnxruntime, OpenVINO or our own compiled loops.

Each network runs on one thread. Several networks run in parallel instead, so no thread waits for another one within a
layer: two networks on one thread each take a tenth less time than one after the other on two threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.engines.errors import EngineUnavailableError
from worker.engines.interface import FloatArray
from worker.engines.machine import describe_machine
from worker.engines.model_folder import verify_files
from worker.engines.onnx_session import open_onnx_session
from worker.engines.unet.model_manifest import MaskManifest

States = Mapping[str, NDArray[Any]]


class Network(Protocol):
    """A loaded network. It holds no state, so it can serve several streams."""

    def empty_states(self) -> States:
        """Return states of zeros."""

    def step(self, magnitudes: FloatArray, states: States) -> tuple[FloatArray, States]:
        """Return the gains of a chunk and the states for the next chunk.

        Parameters
        ----------
        magnitudes : ndarray, shape (channels, frames, bins), float32
        states
            May be changed in place: copy them before if they are needed again.

        Returns
        -------
        gains : ndarray, of the shape of the magnitudes, float32
            From 0 to 1.
        states
        """


class OnnxNetwork:
    """A network in onnxruntime. Raises EngineUnavailableError if onnxruntime is missing or cannot load the file."""

    def __init__(self, path: Path) -> None:
        # With both off, memory is freed after each node, which halves the peak and costs no time.
        options = {"enable_cpu_mem_arena": False, "enable_mem_pattern": False}
        self._session = open_onnx_session(path, threads=1, options=options, config_entries={})
        self._outputs = [output.name for output in self._session.get_outputs()]

    def empty_states(self) -> States:
        """Return states of zeros."""
        inputs = self._session.get_inputs()
        return {value.name: np.zeros(value.shape, np.float32) for value in inputs if value.name != "magnitudes"}

    def step(self, magnitudes: FloatArray, states: States) -> tuple[FloatArray, States]:
        """Return the gains and the next states, as `Network.step` says."""
        values = self._session.run(self._outputs, {"magnitudes": magnitudes[None], **states})
        return _gains_and_states(dict(zip(self._outputs, values, strict=True)))


class OpenVinoNetwork:
    """A network in OpenVINO with bfloat16, for processors with instructions for it; on others it is slow.

    Raises EngineUnavailableError if OpenVINO is missing or cannot load the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            import openvino  # noqa: PLC0415 - only a worker that runs such an engine should spend its memory
        except ImportError as error:
            raise EngineUnavailableError("This model was set up for the package openvino.") from error
        options = {
            "INFERENCE_PRECISION_HINT": "bf16",
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            # With pinning, the threads of two jobs would share one core.
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
        """Return the gains and the next states, as `Network.step` says."""
        with self._lock:
            values = self._request.infer({"magnitudes": magnitudes[None], **states}).values()
        return _gains_and_states(dict(zip(self._outputs, values, strict=True)))


def _gains_and_states(results: dict[str, Any]) -> tuple[FloatArray, States]:
    """Split the outputs of a network, by name, into the gains of one chunk and the states for the next."""
    gains = results.pop("gains")
    return gains[0], {name.removeprefix("next_"): value for name, value in results.items()}


def _name_of(names: set[str]) -> str:
    """Return the name of an output. OpenVINO joins the names of nodes that it has merged."""
    return next(name for name in names if name == "gains" or name.startswith("next_"))


def _compiled_network(path: Path) -> Network:
    """Load a network that compiled loops run. Imported late: not every processor has the instructions in the module."""
    from worker.engines.unet.bfloat16.network import Bfloat16Network  # noqa: PLC0415

    return Bfloat16Network(path)


RUNTIMES: Mapping[str, Callable[[Path], Network]] = {
    "onnxruntime": OnnxNetwork,
    "numba": _compiled_network,
    "openvino": OpenVinoNetwork,
}
"""How each package loads a network. Set-up chooses one of them for the machine."""


class InitialStates:
    """The states of all stems' networks at the beginning of a track: arrays named `stem/state` in an archive.

    They are read again for each track: kept in memory, they would take 30 MB in addition to those of the current track.
    """

    def __init__(self, path: Path, manifest: MaskManifest) -> None:
        self._path = path
        self._stems = manifest.stems
        self._ahead: tuple[States, ...] | None = None

    def read_ahead(self) -> None:
        """Read now what the next `take_states` returns."""
        self._ahead = self._read_archive()

    def take_states(self) -> tuple[States, ...]:
        """Return the states of each stem's network. The caller owns them."""
        states, self._ahead = self._ahead or self._read_archive(), None
        return states

    def _read_archive(self) -> tuple[States, ...]:
        with np.load(self._path, allow_pickle=False) as archive:
            return tuple(
                {name.removeprefix(f"{stem}/"): archive[name] for name in archive.files if name.startswith(f"{stem}/")}
                for stem in self._stems
            )


@dataclass(frozen=True)
class Model:
    """The loaded networks of all stems, in order, and the states that they begin a track with."""

    networks: tuple[Network, ...]
    initial_states: InitialStates


def check_machine(folder: Path, manifest: MaskManifest) -> None:
    """Raise EngineUnavailableError if the networks were made for another machine than this one."""
    if manifest.runtime not in RUNTIMES:
        raise EngineUnavailableError(f"The model in {folder} needs the unknown runtime {manifest.runtime}.")
    if manifest.built_for and describe_machine(tuple(RUNTIMES)) != manifest.built_for:
        raise EngineUnavailableError(
            f"The model in {folder} was optimised for another processor or other packages; set it up again."
        )


def load_model(folder: Path, manifest: MaskManifest) -> Model:
    """Check the files of a model folder and load its networks. Raises EngineUnavailableError."""
    verify_files(folder, manifest.files)
    networks = tuple(RUNTIMES[manifest.runtime](folder / name) for name in manifest.networks)
    return Model(networks, InitialStates(folder / manifest.initial_states, manifest))
