"""Whether the API or the worker of this container is well: what its health check runs.

    python -m shared.maintenance.health_check api      asks /healthz over loopback
    python -m shared.maintenance.health_check worker   asks Redis for the heartbeat of this host

Exit code 0 when it is, 1 with one line that says why not.
"""

from __future__ import annotations

import argparse
import socket
import sys
import urllib.error
import urllib.request

from shared.errors import StemqueueError
from shared.queue.worker_registry import WorkerRegistry
from shared.settings import Settings, read_settings

PATIENCE_SECONDS = 3.0
"""How long the API may take; below the health check's own time limit, so that the line below is seen."""


def main() -> None:
    """Check the part that the command line names, and exit."""
    parser = argparse.ArgumentParser(prog="python -m shared.maintenance.health_check", description=__doc__)
    parser.add_argument("part", choices=["api", "worker"])
    fault = {"api": api_fault, "worker": worker_fault}[parser.parse_args().part](read_settings("health"))
    if fault:
        sys.exit(fault)


def api_fault(settings: Settings) -> str | None:
    """Return why the API of this host is not well, or None."""
    url = f"http://127.0.0.1:{settings.api_port}/healthz"
    # A proxy that the environment names is for others.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=PATIENCE_SECONDS).close()
    except (urllib.error.URLError, OSError) as error:
        return f"{url}: {error}"
    return None


def worker_fault(settings: Settings) -> str | None:
    """Return why no worker of this host is well, or None."""
    host = socket.gethostname()
    try:
        workers = WorkerRegistry(settings).live_workers()
    except StemqueueError as error:
        return error.message
    if any(worker.id.startswith(f"{host}-") for worker in workers):
        return None
    return f"no worker on {host} has told that it lives within {settings.worker_alive_seconds:.0f} s"


if __name__ == "__main__":
    main()
