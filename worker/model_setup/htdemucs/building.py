"""Builds the model folder of an HT-Demucs from the publisher's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worker.engines.htdemucs.family import FAMILY
from worker.engines.segments.manifest import SegmentManifest
from worker.model_setup.errors import CheckpointError, PrecisionUnavailableError
from worker.model_setup.htdemucs.arguments import AUDIO_CHANNELS, SAMPLE_RATE_HZ, HTDemucsArguments
from worker.model_setup.htdemucs.graph import GRAPH, build_graph
from worker.model_setup.htdemucs.graph_builder import FOR_ONNXRUNTIME, FOR_OPENVINO
from worker.model_setup.htdemucs.network_file import read_network
from worker.model_setup.model_entry import ModelEntry
from worker.model_setup.segment_forms import BFLOAT16, form_for
from worker.model_setup.segment_models import finish_model

FIRST_STEM = "vocals"
"""The stem that an engine yields first, if it has it: most users want it."""


def build_htdemucs(
    files: Sequence[Path], entry: ModelEntry, folder: Path, precision: str = "float32"
) -> SegmentManifest:
    """Build the networks and their manifest in an empty folder.

    Parameters
    ----------
    files
        One file, whose network gives all stems; or one for each stem, in the order of the stems in the files. Then each
        network gives only its own stem, as in `htdemucs_ft`.
    entry
        The model's name, licence and scores.
    folder
        A new folder. Nothing is written into it before all files have passed their checks.
    precision
        As for `form_for`. Several networks can only be in float32: they are loaded again for each segment, and
        loading in OpenVINO takes longer than bfloat16 saves.

    Raises
    ------
    ModelSetupError
        If a file is not a network that can be built, or not in this precision.
    """
    arguments = _common_arguments(files)
    order = stem_order(arguments)
    is_bag = len(files) > 1
    if is_bag and precision == BFLOAT16.precision:
        raise PrecisionUnavailableError(f"{entry.name} cannot be built in bfloat16. Use MODEL_PRECISION=auto.")
    form = form_for(precision, entry.name)
    style = FOR_OPENVINO if form is BFLOAT16 else FOR_ONNXRUNTIME
    names = tuple(f"{stem}{form.suffix}" for stem in order) if is_bag else (f"network{form.suffix}",)
    for number, name in enumerate(names):
        # Each file's weights are read again, so that memory holds those of one network.
        _, weights = read_network(files[arguments.stems.index(order[number])] if is_bag else files[0])
        model = build_graph(arguments, weights, (order[number],) if is_bag else order, style)
        del weights
        content = model.SerializeToString()
        del model
        form.write(content, folder / name)
    manifest = SegmentManifest(
        family=FAMILY.name,
        name=entry.name,
        version=entry.version + form.version,
        title=entry.title,
        summary=entry.summary,
        licence=entry.licence,
        sample_rate_hz=SAMPLE_RATE_HZ,
        channels=AUDIO_CHANNELS,
        stems=order,
        remainder=None,
        networks=names,
        precision=form.precision,
        files={},
        settings={"segment_samples": arguments.segment_samples},
        scores=entry.scores,
        scores_from=entry.scores_from,
        origin={**entry.origin, "graph": GRAPH},
    )
    return finish_model(folder, manifest, FAMILY)


def stem_order(arguments: HTDemucsArguments) -> tuple[str, ...]:
    """Return the stems in the order in which the engine yields them: as in the file, but vocals first."""
    return tuple(sorted(arguments.stems, key=lambda stem: stem != FIRST_STEM))


def _common_arguments(files: Sequence[Path]) -> HTDemucsArguments:
    """Return the arguments of all files. Raises CheckpointError if they differ, or if there are too many or too few."""
    arguments = read_network(files[0])[0]
    if len(files) not in {1, len(arguments.stems)}:
        raise CheckpointError(f"This model needs one file or {len(arguments.stems)}, one for each stem.")
    for file in files[1:]:
        if read_network(file)[0] != arguments:
            raise CheckpointError(f"{file.name} cannot be used: its network differs from that of {files[0].name}.")
    return arguments
