"""STAND-IN for a machine whose clock is wrong: with this folder on PYTHONPATH, a Python's wall clock is an hour ahead.

Python imports it before anything else. Clocks that measure durations are as they were, as they would be there. A
machine's own clock cannot be set for one process: Linux's time namespaces leave the wall clock alone, and libfaketime
makes threads of Python hang now and then.
"""

from __future__ import annotations

import datetime
import time

AHEAD_SECONDS = 3600

_seconds, _nanoseconds = time.time, time.time_ns


class _Ahead(datetime.datetime):
    """What `datetime.datetime` is from here on."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        """Return the time that this machine takes it to be."""
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> datetime.datetime:  # type: ignore[override]
        """Return the same in UTC, without saying so."""
        return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)


time.time = lambda: _seconds() + AHEAD_SECONDS
time.time_ns = lambda: _nanoseconds() + AHEAD_SECONDS * 10**9
datetime.datetime = _Ahead  # type: ignore[misc]
