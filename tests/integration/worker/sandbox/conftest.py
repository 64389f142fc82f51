from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from worker.sandbox import launch


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Everything that a break-out looks for, in place and readable for this user."""
    if launch.protection().gaps:
        pytest.skip(f"this machine leaves open: {launch.protection().gaps_text}")
    secret, elsewhere, writable = tmp_path / "secret", tmp_path / "elsewhere", tmp_path / "writable"
    secret.write_text("key")
    elsewhere.mkdir()
    writable.mkdir()
    abstract = f"\0stemqueue-test-{os.getpid()}"
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        for address in (str(tmp_path / "socket"), abstract):
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(address)
            listening.listen()
        yield {
            "secret": str(secret),
            "elsewhere": str(elsewhere),
            "writable": str(writable),
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": str(tmp_path / "socket"),
            "abstract": abstract,
            "pid": os.getpid(),
        }
