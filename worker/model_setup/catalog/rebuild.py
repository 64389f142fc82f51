"""Builds models again after an upgrade or on another processor, from the files that are kept beside them.

Set-up does this at every start. A model whose files are gone is left as it is; `stemqueue-models list` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.engines.errors import EngineUnavailableError
from worker.engines.machine import describe_machine
from worker.engines.segments.engine import PACKAGES
from worker.engines.segments.manifest import SegmentManifest, read_segment_manifest
from worker.model_setup.catalog.add import BUILD, BUILDERS, build_model
from worker.model_setup.catalog.fetch import Say
from worker.model_setup.catalog.model_folders import WEIGHTS, locked_folder, model_names
from worker.model_setup.errors import ModelSetupError
from worker.model_setup.model_entry import ModelEntry


def rebuild_models(folder: Path, say: Say) -> None:
    """Build each model in MODEL_FOLDER again that was built for another machine or in another way.

    Says what was built, and what cannot be built.
    """
    outdated = [manifest for name in model_names(folder) if (manifest := _outdated(folder / name))]
    if not outdated:
        return
    try:
        with locked_folder(folder):
            for manifest in outdated:
                _rebuild(manifest, folder, say)
    except (ModelSetupError, OSError) as error:
        say(f"Models were not built again: {error}")


def _outdated(folder: Path) -> SegmentManifest | None:
    """Return the manifest of a model that was built for another machine or in another way, or None."""
    try:
        manifest = read_segment_manifest(folder)
    except EngineUnavailableError:
        return None
    is_ours = manifest.family in BUILDERS and "build" in manifest.origin
    is_current = manifest.built_for == describe_machine(PACKAGES) and manifest.origin.get("build") == BUILD
    return manifest if is_ours and not is_current else None


def _rebuild(manifest: SegmentManifest, folder: Path, say: Say) -> None:
    weights = folder / WEIGHTS / manifest.name
    # `origin` lists the files in the order that the family wants.
    files = [weights / name for name in manifest.origin if (weights / name).is_file()]
    if not files:
        say(f"{manifest.name} was built for another machine or version, and its files are gone: add it again.")
        return
    try:
        build_model(manifest.family, files, _parameters(manifest), _entry(manifest), folder)
    except ModelSetupError as error:
        say(f"{manifest.name} was built for another machine or version, and cannot be built again: {error}")
    else:
        say(f"{manifest.name} was built again for this machine.")


def _parameters(manifest: SegmentManifest) -> Mapping[str, Any]:
    return {**manifest.settings, "stem": manifest.estimated_stems[0]}


def _entry(manifest: SegmentManifest) -> ModelEntry:
    return ModelEntry(
        name=manifest.name,
        title=manifest.title,
        summary=manifest.summary,
        licence=manifest.licence,
        version=f"{BUILD}-{manifest.version.partition('-')[2]}",
        scores=manifest.scores,
        scores_from=manifest.scores_from,
        origin={**manifest.origin, "build": BUILD},
    )
