"""The settings of gunicorn, each with its reason.

`gunicorn -c python:api.server.gunicorn_conf api.wsgi:app` reads them.
"""

from __future__ import annotations

import gc
from typing import Any

from gunicorn.glogging import Logger

from api.server.connection_balancing import BalancedWorker
from api.server.connection_worker import ConnectionWorker, connection_limit
from api.services import EXTENSION
from shared.logs import configure_logging
from shared.settings import read_settings
from shared.telemetry import set_up

_settings = read_settings("api")
# gunicorn would start a process that ends at once again and again.
set_up.require_packages(_settings, "api")

bind = [
    f"[{_settings.api_host}]:{_settings.api_port}"
    if ":" in _settings.api_host
    else f"{_settings.api_host}:{_settings.api_port}"
]
workers = _settings.api_processes
threads = _settings.api_threads
# Threads and not an event loop, so that hashing an upload does not delay polls. A sleeping thread (a wait, an event
# stream) costs about 0.3 MB. With 100 streams and an upload, polls kept 66 to 96 % of their rate on two busy cores;
# with only 32 threads they got none.
worker_class = "api.server.gunicorn_worker.ProblemWorker"
# Per process. At the limit, the connection that has waited longest for a request is closed.
worker_connections = connection_limit(threads)
ConnectionWorker.least_rate = _settings.min_client_bytes_per_second
# With sendfile the kernel sends files without the minimum rate of PacedSocket.
sendfile = False
# A stop waits this long for current requests; clients retry longer uploads.
graceful_timeout = 20
# The longest silence of a process, not of a request: its main loop sends heartbeats while all threads work.
timeout = 60
# Covers the pause between two polls of a client; an idle connection costs a descriptor and no thread.
keepalive = 20
# A heartbeat file on disk would stall with the disk.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn creates its file there safely
# Not used here, and it would leave a socket in the home folder.
control_socket_disable = True
# The application logs requests, with their ids.
accesslog = None
# X-Forwarded-* headers are trusted from no one; there is no setting for it.
forwarded_allow_ips = ""


def post_worker_init(worker: Any) -> None:
    """End waits when the process is told to stop, so that clients reconnect to another; start sending webhooks."""
    services = worker.wsgi.extensions[EXTENSION]
    services.changes.end_when(lambda: not worker.alive)
    services.webhooks.start_threads(lambda: not worker.alive)
    # Imported modules stay for ever, so exempt them from garbage collection.
    gc.collect()
    gc.freeze()


def worker_exit(_: Any, __: Any) -> None:
    """Send the last spans and error reports of a process that ends."""
    set_up.stop()


def child_exit(_: Any, worker: Any) -> None:
    """Remove a process that was killed from the balancing of connections."""
    BalancedWorker.counts.remove_process(worker.age)


class StructuredLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Writes gunicorn's own messages in the format of all other logs, from the first one on."""

    def setup(self, cfg: Any) -> None:
        """Set up gunicorn's logger, then let the root logger write its messages."""
        super().setup(cfg)
        configure_logging(_settings, "api")
        self.error_log.handlers.clear()
        self.error_log.propagate = True


logger_class = StructuredLogger
