"""The health check of a container: is its API or its worker healthy?

    python -m shared.maintenance.health_check api      requests /healthz over loopback
    python -m shared.maintenance.health_check worker   looks in Redis for this host's heartbeat
    python -m shared.maintenance.health_check worker --unless-redis-is-away
                                                       the same, but healthy if Redis does not answer: a restart
                                                       of the worker would not help then

Exits with code 0 if it is healthy, and otherwise with code 1 and one line that says why not.
"""

from __future__ import annotations

import argparse
import socket
import sys
import urllib.error
import urllib.request

from shared.errors import StemqueueError
from shared.settings import Settings, read_settings

PATIENCE_SECONDS = 3.0
"""How long the API may take. It is less than the container's limit for the check, so that the error is printed."""


def main() -> None:
    """Check the part that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m shared.maintenance.health_check", description=__doc__)
    parser.add_argument("part", choices=["api", "worker"])
    parser.add_argument("--unless-redis-is-away", action="store_true", help="worker: healthy if Redis does not answer")
    arguments = parser.parse_args()
    settings = read_settings("health")
    if arguments.part == "api":
        fault = api_fault(settings)
    else:
        fault = worker_fault(settings, unless_redis_is_away=arguments.unless_redis_is_away)
    if fault:
        sys.exit(fault)


def api_fault(settings: Settings) -> str | None:
    """Return why the API of this host is not healthy, or None."""
    url = f"http://127.0.0.1:{settings.api_port}/healthz"
    # Ignore proxies from the environment.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=PATIENCE_SECONDS).close()
    except (urllib.error.URLError, OSError) as error:
        return f"{url}: {error}"
    return None


def worker_fault(settings: Settings, *, unless_redis_is_away: bool = False) -> str | None:
    """Return why no worker of this host is healthy, or None. With the flag, a Redis that is away is no fault."""
    # Redis and what goes with it take half a second, which the API's check should not spend every 15 s.
    from shared.queue.worker_registry import WorkerRegistry  # noqa: PLC0415

    host = socket.gethostname()
    try:
        workers = WorkerRegistry(settings).live_workers()
    except StemqueueError as error:
        return None if unless_redis_is_away else error.message
    if any(worker.id.startswith(f"{host}-") for worker in workers):
        return None
    return f"no worker on {host} sent a heartbeat in the last {settings.worker_alive_seconds:.0f} s"


if __name__ == "__main__":
    main()
