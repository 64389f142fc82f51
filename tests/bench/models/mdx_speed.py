"""MDX-Net of the size of UVR's Inst_HQ_4, with random weights: processor time for a minute, and peak memory.

The reference is what audio-separator runs for MDX-Net: onnxruntime with its default options on the same file, one
chunk after another, with the same overlap, so as many chunks. It is given its spectra and does nothing else, while the
engine reads, transforms and adds up. Its idle threads do not spin, which would count against it on a busy machine.
Part of the family `models` of `make bench`. `python -m tests.bench.models.mdx_speed FOLDER SECONDS` measures one
process, and so does `python -m tests.bench.models.mdx_speed FILE reference`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from tests.bench.models.mdx_network import HQ_4, MdxSize, random_network
from tests.bench.peak import peak_mebibytes
from tests.bench.separation.unet_memory import RATE_HZ
from worker.engines import mdx
from worker.engines.interface import FloatArray
from worker.model_setup.mdx.building import build_mdx
from worker.model_setup.model_entry import ModelEntry
from worker.model_setup.openvino_files import openvino_has_fast_bfloat16

THREADS = 2
SHORT_SECONDS, LONG_SECONDS = 10, 30
REFERENCE_CHUNKS = 2

Row = dict[str, str | float]


def measured() -> list[Row]:
    """Return the rows of the engine and of the reference beside it."""
    with tempfile.TemporaryDirectory() as scratch:
        file, folder = Path(scratch) / "network.onnx", Path(scratch) / "hq4"
        onnx.save(random_network(HQ_4), str(file))
        folder.mkdir()
        build_mdx(file, HQ_4.parameters(), ModelEntry("hq4", "HQ_4", "Random weights.", "none"), folder)
        short, long = (_of_process(folder, seconds) for seconds in (SHORT_SECONDS, LONG_SECONDS))
        reference = _of_process(file, "reference")
        rows = _bfloat16_rows(file, Path(scratch), long)
    return [
        _row(f"MDX-Net HQ_4, {SHORT_SECONDS} s of song, {THREADS} threads", short),
        _row(f"MDX-Net HQ_4, {LONG_SECONDS} s of song, {THREADS} threads", long),
        _row(f"the same file, onnxruntime's defaults, network alone, {THREADS} threads", reference),
        {
            "what": "MDX-Net HQ_4: the engine is faster by",
            "value": round(reference["a_minute"] / long["a_minute"], 2),
            "unit": "times",
            "smaller_peak_times": round(reference["peak"] / long["peak"], 2),
        },
        *rows,
    ]


def _bfloat16_rows(file: Path, scratch: Path, float32: dict[str, float]) -> list[Row]:
    """Return the rows of the engine in bfloat16, if this machine has it."""
    if not openvino_has_fast_bfloat16():
        return []
    folder = scratch / "hq4-bfloat16"
    folder.mkdir()
    build_mdx(file, HQ_4.parameters(), ModelEntry("hq4", "HQ_4", "Random weights.", "none"), folder, "bfloat16")
    found = _of_process(folder, LONG_SECONDS)
    faster = round(float32["a_minute"] / found["a_minute"], 2)
    return [
        _row(f"MDX-Net HQ_4 in bfloat16, {LONG_SECONDS} s of song, {THREADS} threads", found),
        {"what": "MDX-Net HQ_4: bfloat16 is faster than float32 by", "value": faster, "unit": "times"},
    ]


def _of_process(path: Path, what: int | str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.models.mdx_speed", str(path), str(what)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def _row(what: str, found: dict[str, float]) -> Row:
    return {
        "what": what,
        "value": round(found["a_minute"], 1),
        "unit": "processor s/min",
        "peak_mebibytes": found["peak"],
    }


def _reference(file: Path, size: MdxSize) -> float:
    """Return the processor time for a minute, from two chunks of the plain graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    shape = (1, 4, size.dim_f, size.dim_t)
    spectrum: FloatArray = np.random.default_rng(0).standard_normal(shape, np.float32)
    session.run(None, {"input": spectrum})
    started = time.process_time()
    for _ in range(REFERENCE_CHUNKS):
        session.run(None, {"input": spectrum})
    a_chunk = (time.process_time() - started) / REFERENCE_CHUNKS
    return 60 * RATE_HZ / (0.75 * size.hop_length * (size.dim_t - 1)) * a_chunk


class Noise:
    """Stereo noise of any length, the same second again and again, so that it takes no memory of its own."""

    sample_rate_hz = RATE_HZ
    channels = 2

    def __init__(self, seconds: int) -> None:
        self.n_samples = seconds * RATE_HZ
        self._y = np.random.default_rng(0).uniform(-0.3, 0.3, (2, RATE_HZ)).astype(np.float32)

    def read_samples(self, start: int, stop: int) -> FloatArray:
        """Return the samples `start` to `stop`."""
        return np.take(self._y, np.arange(start, stop), axis=1, mode="wrap")


def _engine(folder: Path, seconds: int) -> float:
    """Return the processor time for a minute, from a song of some seconds."""
    engine, noise = mdx.create(None, {}, model_folder=folder), Noise(seconds)
    grid = mdx.FAMILY.grid(engine._manifest)
    engine._loaded_network(THREADS)
    started = time.process_time()
    for _ in engine.separate(noise, threads=THREADS):
        pass
    # Per segment, because a short song has more of them for its length than a long one.
    segments = len(grid.touching(range(noise.n_samples), noise.n_samples))
    return (time.process_time() - started) / segments * 60 * RATE_HZ / grid.hop


def main(path: str, what: str) -> None:
    """Print the processor time for a minute and this process's peak."""
    a_minute = _reference(Path(path), HQ_4) if what == "reference" else _engine(Path(path), int(what))
    print(json.dumps({"a_minute": a_minute, "peak": peak_mebibytes()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
