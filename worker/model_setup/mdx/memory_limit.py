"""Limits how much memory this process may take while it builds and runs a file from elsewhere."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from worker.model_setup.errors import ModelSetupError

MAX_BUILD_BYTES = 8_000_000_000
"""Address space that building may take, beside what the process has. A network of the size of the
largest published MDX-Net takes 1.5 GB."""


@contextmanager
def limited_memory(max_bytes: int = MAX_BUILD_BYTES) -> Iterator[None]:
    """Let this process map at most `max_bytes` more, on all its threads, until the end of the block.

    Raises ModelSetupError if the block ends in a MemoryError.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bounds = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([psutil.Process().memory_info().vms + max_bytes, *bounds]), hard))
    try:
        yield
    except MemoryError as error:
        raise ModelSetupError(f"Building this network takes more than {max_bytes / 1e9:g} GB of memory.") from error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
