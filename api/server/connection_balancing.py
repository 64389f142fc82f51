"""gunicorn's threaded worker, that leaves a new connection to another process which holds fewer.

All processes wait at one listening socket, and whichever runs first takes what comes: one could take all connections
of a client's pool and keep them, and worked alone while the others idled. SO_REUSEPORT is no better: it deals by hash
(of 8 connections, 6 or more fall to one of two processes three times in ten), and what waits at the socket of a
process that stops is reset.

Owns who takes a new connection. None is refused for it: who stood aside in vain takes it.
"""

from __future__ import annotations

import mmap
import time
from typing import Any

from api.server.connection_worker import ConnectionWorker

ASIDE_SECONDS = 0.05
"""How long a connection waits for a process that holds fewer, and half as long each time that none came. Raising it
deals more evenly on a busy machine, and lets connections wait longer for a process that hangs."""

MAX_HALVINGS = 6
"""Lower makes each connection wait longer while a process hangs: 0.8 ms."""

LOOK_SECONDS = 0.001
"""How often who stands aside looks whether another has come."""

SLOTS = 256
"""More than processes are born while one of them lives; two that shared a slot would be dealt to less evenly."""


class Shares:
    """How many connections each process holds, where all see it: memory that they have from their parent."""

    def __init__(self) -> None:
        # One more than they are: zero says that nobody takes connections there.
        self._held = memoryview(mmap.mmap(-1, 8 * SLOTS)).cast("q")

    def tell(self, process: int, connections: int) -> None:
        """Say how many a process holds."""
        self._held[process % SLOTS] = connections + 1

    def leave(self, process: int) -> None:
        """Say that a process takes no more."""
        self._held[process % SLOTS] = 0

    def fewest(self) -> int:
        """Return how many that process holds that holds the fewest; 0 where there is none."""
        return min((held - 1 for held in self._held if held), default=0)


class FairWorker(ConnectionWorker):
    """The threaded worker; where another process holds fewer connections, it stands aside for a moment."""

    # Made in the parent, which imports this before any process is born.
    shares = Shares()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._connections = 0
        self._is_open = False
        self._aside_until: float | None = None
        self._in_vain = 0
        self._is_due = False
        super().__init__(*args, **kwargs)

    @property
    def nr_conns(self) -> int:
        """How many connections this process holds: gunicorn's own count, told to the others."""
        return self._connections

    @nr_conns.setter
    def nr_conns(self, connections: int) -> None:
        self._connections = connections
        if self._is_open:
            self.shares.tell(self.age, connections)

    def run(self) -> None:
        """Serve until the process is asked to stop."""
        self._is_open = True
        self.nr_conns = 0
        super().run()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for what comes next; not for long while another may come for a connection."""
        super().wait_for_and_dispatch_events(timeout if self._aside_until is None else LOOK_SECONDS)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Begin or cease to take connections; who stands aside does not begin."""
        super().set_accept_enabled(enabled and not self._stands_aside())
        if not self.alive and self._is_open:
            self._close()

    def accept(self, listener: Any) -> None:
        """Take a connection, or leave it to another for a moment."""
        if self._is_ahead() and not self._is_due:
            self._aside_until = time.monotonic() + ASIDE_SECONDS / 2 ** min(self._in_vain, MAX_HALVINGS)
            self.set_accept_enabled(False)
            return
        self._is_due = False
        super().accept(listener)

    def _is_ahead(self) -> bool:
        return self._connections > self.shares.fewest()

    def _stands_aside(self) -> bool:
        """Tell whether it still does; whoever stood aside in vain is due."""
        if self._aside_until is None:
            return False
        if not self._is_ahead():
            self._in_vain = 0
        elif time.monotonic() > self._aside_until:
            self._in_vain += 1
            self._is_due = True
        else:
            return True
        self._aside_until = None
        return False

    def _close(self) -> None:
        """Take what waits, since nobody else may come for it, and have what comes later refused at once."""
        self._is_open = False
        self.shares.leave(self.age)
        for listener in self.sockets:
            taken = -1
            while taken != (taken := self._connections):
                super().accept(listener)
            listener.close()
