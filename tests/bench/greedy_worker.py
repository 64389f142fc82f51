"""The API's worker without its fairness: what dealing connections is measured against."""

from __future__ import annotations

from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from api.gunicorn_worker import ProblemWorker


class GreedyWorker(ProblemWorker):
    """Takes every connection that it hears of, as gunicorn does."""

    def accept(self, listener: Any) -> None:
        """Take one."""
        ThreadWorker.accept(self, listener)
