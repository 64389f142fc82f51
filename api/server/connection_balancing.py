"""Balances connections between the API's processes: a worker leaves a new connection to one that has fewer.

All processes accept from one listening socket, and whichever wakes first takes the connection. So one process could
take all connections of a client's pool and keep them, and work alone while the others idle. SO_REUSEPORT is no better:
it distributes by a hash (of 8 connections, 6 or more go to one of two processes in three of ten cases), and connections
that wait at the socket of a stopping process are reset.

No connection is refused: if no other process takes it in time, this one does.
"""

from __future__ import annotations

import mmap
import time
from typing import Any

from api.server.connection_worker import ConnectionWorker

PAUSE_SECONDS = 0.05
"""How long a connection waits for a process with fewer connections; halved each time that none took it. Raising it
balances better on a busy machine, but connections wait longer for a process that hangs."""

MAX_HALVINGS = 6
"""How often the wait is halved, to 0.8 ms. Lowering it makes connections wait longer while a process hangs."""

POLL_SECONDS = 0.001
"""How often a waiting process checks whether another one has taken the connection."""

SLOTS = 256
"""More than the processes that start during the life of one. Two processes that share a slot are balanced worse."""


class ConnectionCounts:
    """The number of connections of each process, in memory shared with the parent process."""

    def __init__(self) -> None:
        # Counts plus one; zero marks a slot without a process that accepts connections.
        self._slots = memoryview(mmap.mmap(-1, 8 * SLOTS)).cast("q")

    def set_count(self, process: int, connections: int) -> None:
        """Set the number of connections of a process."""
        self._slots[process % SLOTS] = connections + 1

    def remove_process(self, process: int) -> None:
        """Mark a process as accepting no more connections."""
        self._slots[process % SLOTS] = 0

    def fewest(self) -> int:
        """Return the smallest number of connections of a process; 0 if there are no processes."""
        return min((count - 1 for count in self._slots if count), default=0)


class BalancedWorker(ConnectionWorker):
    """The threaded worker that pauses accepting while another process has fewer connections."""

    # Created in the parent process, which imports this module before it forks.
    counts = ConnectionCounts()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._connections = 0
        self._is_serving = False
        self._paused_until: float | None = None
        self._pauses_in_vain = 0
        self._must_accept = False
        super().__init__(*args, **kwargs)

    @property
    def nr_conns(self) -> int:
        """The number of connections of this process: gunicorn's own count, shared with the other processes."""
        return self._connections

    @nr_conns.setter
    def nr_conns(self, connections: int) -> None:
        self._connections = connections
        if self._is_serving:
            self.counts.set_count(self.age, connections)

    def run(self) -> None:
        """Serve until the process is told to stop."""
        self._is_serving = True
        self.nr_conns = 0
        super().run()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for the next events, with short timeouts while accepting is paused."""
        super().wait_for_and_dispatch_events(timeout if self._paused_until is None else POLL_SECONDS)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Start or stop accepting connections; accepting stays off while it is paused."""
        super().set_accept_enabled(enabled and not self._is_paused())
        if not self.alive and self._is_serving:
            self._accept_rest_and_close()

    def accept(self, listener: Any) -> None:
        """Accept a connection, or pause so that another process can."""
        if self._has_more_than_another() and not self._must_accept:
            self._paused_until = time.monotonic() + PAUSE_SECONDS / 2 ** min(self._pauses_in_vain, MAX_HALVINGS)
            self.set_accept_enabled(False)
            return
        self._must_accept = False
        super().accept(listener)

    def _has_more_than_another(self) -> bool:
        return self._connections > self.counts.fewest()

    def _is_paused(self) -> bool:
        """Return whether accepting is still paused. After a pause in which no process accepted, this one must."""
        if self._paused_until is None:
            return False
        if not self._has_more_than_another():
            self._pauses_in_vain = 0
        elif time.monotonic() > self._paused_until:
            self._pauses_in_vain += 1
            self._must_accept = True
        else:
            return True
        self._paused_until = None
        return False

    def _accept_rest_and_close(self) -> None:
        """Accept the connections that wait, since perhaps no other process will, and close the listeners."""
        self._is_serving = False
        self.counts.remove_process(self.age)
        for listener in self.sockets:
            taken = -1
            while taken != (taken := self._connections):
                super().accept(listener)
            listener.close()
