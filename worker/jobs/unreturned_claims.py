"""Notes of the claims that a stopping worker could not return to the queue, because Redis was away.

Without them, an orderly stop would look like a lost worker as soon as Redis is back, and would cost the jobs an
attempt. The notes lie in the worker's scratch folder. The next worker with the same shared scratch folder returns the
claims before it looks for expired leases (service/queue_thread.py).
"""

from __future__ import annotations

from pathlib import Path

import structlog

from shared.errors import JobNotFoundError
from shared.jobs.claims import JobClaims

log = structlog.get_logger(__name__)

FOLDER_NAME = "unreturned"


def note_unreturned(worker_folder: Path, job_id: str, token: str) -> None:
    """Note a claim of this worker that is held, or may be held, after its end. `token` identifies the claim."""
    folder = worker_folder / FOLDER_NAME
    try:
        folder.mkdir(exist_ok=True)
        (folder / job_id).write_text(token)
    except OSError as error:
        log.warning("unreturned claim not noted: it will count as a lost worker", job=job_id, error=str(error))


def has_unreturned(worker_folder: Path) -> bool:
    """Return whether there are notes."""
    return (worker_folder / FOLDER_NAME).is_dir()


def return_claims(worker_folder: Path, claims: JobClaims, worker_id: str) -> int:
    """Return the noted claims of an ended worker that still hold, uncharged; return their number.

    May be repeated. Raises StoreUnavailableError.
    """
    if not has_unreturned(worker_folder):
        return 0
    returned = 0
    for note in sorted((worker_folder / FOLDER_NAME).iterdir()):
        try:
            claim = claims.take(note.name, worker_id, note.read_text())
        except JobNotFoundError:
            continue
        returned += claim is not None and claims.hand_back(claim)
    return returned
