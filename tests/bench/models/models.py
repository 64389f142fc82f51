"""The models that users add, at full size with random weights, against the implementations that they come from."""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.engines import Row
from tests.bench.models import htdemucs_full_size, mdx_speed

PARTS: tuple[Callable[[], list[Row]], ...] = (htdemucs_full_size.measured, mdx_speed.measured)
"""What is measured, family by family."""


def rows() -> list[Row]:
    """Return the rows of all families."""
    return [row for part in PARTS for row in part()]
