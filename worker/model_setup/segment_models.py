"""The last steps of building any model that separates in segments: optimise its graphs, measure, write the manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnxruntime

from worker.engines.machine import describe_machine
from worker.engines.model_folder import sha256_of
from worker.engines.onnx_session import new_session_options
from worker.engines.segments.engine import create_engine
from worker.engines.segments.family import SegmentFamily
from worker.engines.segments.graph_files import packages_of
from worker.engines.segments.manifest import SegmentManifest, write_segment_manifest
from worker.engines.segments.onnx_graph import CONFIG_ENTRIES, OPTIONS
from worker.model_setup.errors import ModelSetupError
from worker.model_setup.speed import measure_engine

HOPS = 2
"""How many segments are separated to measure a model."""


def optimise_graph(model: bytes | Path, target: Path) -> None:
    """Write a graph as onnxruntime optimises it for this machine, with its weights in a file beside it.

    `model` is a graph that has been checked or built here, serialised or in a file. `target` ends in `.onnx`; the
    weights go to `target` with the ending `.weights`, which processes share in memory. Raises ModelSetupError if
    onnxruntime refuses the graph.
    """
    options = new_session_options(1, OPTIONS, CONFIG_ENTRIES)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(target)
    numbers = target.with_suffix(".weights").name
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", numbers)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    content = model if isinstance(model, bytes) else str(model)
    try:
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelSetupError("onnxruntime cannot load this network.") from error


def finish_model(folder: Path, manifest: SegmentManifest, family: SegmentFamily) -> SegmentManifest:
    """Write the manifest of a folder whose other files are complete, with their digests and this machine's figures.

    `files`, `built_for`, `real_time_factor` and `activation_bytes` are filled in here, for which the model separates
    some segments of noise. Returns the manifest as written. Raises ModelSetupError if the model does not run.
    """
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    manifest = replace(manifest, files=files, built_for=describe_machine(packages_of(manifest.networks)))
    write_segment_manifest(folder, manifest)
    engine = create_engine(None, {}, model_folder=folder, family=family)
    # A whole number of hops, so that the time is that of a long song.
    try:
        measured = measure_engine(engine, seconds=HOPS * family.grid(manifest).hop / manifest.sample_rate_hz)
    except ModelSetupError:
        raise
    except Exception as error:
        raise ModelSetupError(f"The network of {manifest.name} does not run.") from error
    engine.release_memory()
    activation_bytes = max(0, measured.peak_bytes - sum((folder / name).stat().st_size for name in files))
    manifest = replace(manifest, real_time_factor=measured.real_time_factor, activation_bytes=activation_bytes)
    write_segment_manifest(folder, manifest)
    return manifest
