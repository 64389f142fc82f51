"""What a model's folder says about it that does not follow from its file: names, licence, scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

OTHER = "other"
"""The stem of what an engine's other stems leave of the song."""

REST = "rest"
"""What is left beside a network that estimates `other`."""


@dataclass(frozen=True)
class ModelEntry:
    """A model to be added.

    `name` is that of the engine and of its folder. `version` changes whenever the same input gives different stems.
    `licence` has its authors' own words. `scores` are published medians in dB, such as `vocals_sdr_db`, and
    `scores_from` names their test set. `origin` says where the weights come from: addresses, digests.
    """

    name: str
    title: str
    summary: str
    licence: str
    version: str = "1"
    scores: Mapping[str, float] = field(default_factory=dict)
    scores_from: str = ""
    origin: Mapping[str, str] = field(default_factory=dict)
