"""The API's worker without its fairness: what dealing connections is measured against."""

from __future__ import annotations

from typing import Any

from api.server.connection_worker import ConnectionWorker
from api.server.gunicorn_worker import ProblemWorker


class GreedyWorker(ProblemWorker):
    """Takes every connection that it hears of, as gunicorn does."""

    def accept(self, listener: Any) -> None:
        """Take one."""
        ConnectionWorker.accept(self, listener)
