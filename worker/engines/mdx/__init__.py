"""MDX-Net: networks that turn the complex spectrum of a song into that of one stem. The other stem is the rest.

A model folder comes from `worker.model_setup.mdx.building`, which makes it from any ONNX file in the format of MDX-Net.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.engines.interface import EngineDescription
from worker.engines.mdx.family import FAMILY
from worker.engines.segments import SegmentEngine, create_engine, describe_model

__all__ = ["FAMILY", "create", "describe"]


def describe(model_folder: Path) -> EngineDescription:
    """Return the description of the engine in a model folder. Raises EngineUnavailableError."""
    return describe_model(model_folder, FAMILY)


def create(preset: str | None, parameters: Mapping[str, Any], *, model_folder: Path) -> SegmentEngine:
    """Return the engine of a model folder. Raises EngineUnavailableError, InvalidParameterError."""
    return create_engine(preset, parameters, model_folder=model_folder, family=FAMILY)
