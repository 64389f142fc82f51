"""Settings of gunicorn, each with its reason; ours come from the environment.

`gunicorn -c python:api.server.gunicorn_conf api.wsgi:app`
"""

from __future__ import annotations

import gc
from typing import Any

from gunicorn.glogging import Logger

from api.server.connection_balancing import FairWorker
from api.server.connection_worker import ConnectionWorker, connection_limit
from api.services import EXTENSION
from shared.logs import configure_logging
from shared.settings import read_settings

_settings = read_settings("api")

bind = [
    f"[{_settings.api_host}]:{_settings.api_port}"
    if ":" in _settings.api_host
    else f"{_settings.api_host}:{_settings.api_port}"
]
workers = _settings.api_processes
threads = _settings.api_threads
# Threads and not an event loop: hashing an upload must not hold up polls. Threads that sleep (a wait, an event
# stream) cost about 0.3 MB each and nothing else: with 100 streams and an upload, polls kept 66 to 96 % of their rate
# on two busy cores; with 32 threads they starved.
worker_class = "api.server.gunicorn_worker.ProblemWorker"
# Of each process. When they are used up, the one that has waited longest for a request makes room.
worker_connections = connection_limit(threads)
ConnectionWorker.least_rate = _settings.min_client_bytes_per_second
# The kernel would send files past the bound on slow readers.
sendfile = False
# A stop waits this long for answers under way; clients of longer uploads come back.
graceful_timeout = 20
# The longest silence of a whole process, not of a request: its main loop beats even while every thread works.
timeout = 60
# Between two polls of one client; its connection costs a descriptor and no thread.
keepalive = 20
# Heartbeats in a file on disk can stall with the disk.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn makes its file there in a safe way
# Nobody talks to it here, and it would leave a socket in the home folder.
control_socket_disable = True
# Requests are logged by the application, with their ids.
accesslog = None
# Whose X-Forwarded-* to believe: nobody's, until there is a setting for it.
forwarded_allow_ips = ""


def post_worker_init(worker: Any) -> None:
    """Let clients that wait go when the process is asked to stop; they come back to another. Begin to send webhooks."""
    services = worker.wsgi.extensions[EXTENSION]
    services.changes.end_when(lambda: not worker.alive)
    services.webhooks.start(lambda: not worker.alive)
    # What was imported stays for ever: the garbage collector need not look at it again and again.
    gc.collect()
    gc.freeze()


def child_exit(_: Any, worker: Any) -> None:
    """Have no process stand aside for one that was killed."""
    FairWorker.shares.leave(worker.age)


class OurLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn's own messages, in our form from the first one on."""

    def setup(self, cfg: Any) -> None:
        """Set up as gunicorn does, then leave the writing to the root logger."""
        super().setup(cfg)
        configure_logging(_settings, "api")
        self.error_log.handlers.clear()
        self.error_log.propagate = True


logger_class = OurLogger
