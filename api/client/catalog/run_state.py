"""How far a run is: a small database in the output folder that outlives the run, however it ends.

Only one run at a time writes it. Each change is one transaction: after a kill the file is
as it was before or after it. What a lost change costs is one request with the same idempotency key.

An item is `new` (a file to upload), `ready` (the server has or finds its mixture), `sent` (in a batch), or has ended:
`succeeded`, `failed`, `canceled`, `invalid`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from api.client.catalog.folders import FolderNames
from api.client.catalog.tracks.items import Item
from api.client.catalog.tracks.sources import STATE_FOLDER
from api.client.errors import ClientError

ENDED = ("succeeded", "failed", "canceled", "invalid")

SCHEMA = """
CREATE TABLE IF NOT EXISTS run (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS batches (number INTEGER PRIMARY KEY, key TEXT NOT NULL, id TEXT, ended INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY, ident TEXT UNIQUE, track TEXT NOT NULL, folder TEXT NOT NULL UNIQUE,
    line INTEGER, path BLOB, url TEXT, content TEXT, uploads INTEGER DEFAULT 0, source TEXT, options TEXT,
    state TEXT NOT NULL, batch INTEGER, batch_number INTEGER, job_id TEXT, code TEXT, message TEXT,
    detail TEXT, fetched INTEGER DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_state ON items (state, fetched, number);
CREATE UNIQUE INDEX IF NOT EXISTS by_place ON items (batch, batch_number);
"""

Row = sqlite3.Row


class RunBusyError(ClientError):
    """Another run is active in the folder."""


class NoRunError(ClientError):
    """There is no run in the folder."""


class RunState:
    """The state below an output folder; `writes` claims it for one run."""

    def __init__(self, out: Path, *, writes: bool) -> None:
        self.folder = out / STATE_FOLDER
        self._lock: sqlite3.Connection | None = None
        if writes:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _claimed(self.folder / "lock.sqlite3")
        elif not self.folder.is_dir():
            raise NoRunError(f"{out} does not contain a run of `stemqueue catalog`.")
        self._database = sqlite3.connect(self.folder / "state.sqlite3", timeout=30, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self.partial = self.folder / "partial"
        """For files that are not whole yet; what an earlier run left there is gone."""
        if writes:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir()
            self._database.executescript(SCHEMA)
            self._names = FolderNames(row["folder"] for row in self._query("SELECT folder FROM items"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        if self._lock:
            self._lock.close()

    # The run

    def told(self, name: str) -> Any:
        """Return what was written down of the run; None if nothing was."""
        row = self._database.execute("SELECT value FROM run WHERE name = ?", (name,)).fetchone()
        return json.loads(row["value"]) if row else None

    def tell(self, **values: object) -> None:
        """Write something down of the run."""
        with self._database:
            self._database.execute("BEGIN")
            for name, value in values.items():
                self._database.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (name, json.dumps(value)))

    @property
    def id(self) -> str:
        """A name that is this run's alone."""
        if self.told("id") is None:
            self.tell(id=secrets.token_hex(8))
        return str(self.told("id"))

    def forget(self) -> None:
        """Be as if there had been no run; for one that found nothing to do."""
        with self._database:
            self._database.execute("BEGIN")
            for table in ("run", "batches", "items"):
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608
        self._names = FolderNames([])

    def has_sent(self) -> bool:
        """Return whether the server has anything of the run."""
        uploaded = "(path IS NOT NULL OR url IS NOT NULL) AND source IS NOT NULL"
        return bool(self.batches() or self.items(uploaded, limit=1))

    # Items

    def add(self, items: Iterable[Item]) -> int:
        """Take up the tracks that are not known yet; return how many."""
        known = {row["ident"] for row in self._query("SELECT ident FROM items")}
        added = 0
        with self._database:
            self._database.execute("BEGIN")
            for item in items:
                if item.ident not in known:
                    added += 1
                    self._insert(item)
        return added

    def found(self, batch: int, tracks: Mapping[int, str]) -> None:
        """Take up the tracks, by their numbers, that the server found below a prefix, unless they are known."""
        first, last = min(tracks, default=0), max(tracks, default=-1)
        known = {
            row["batch_number"] for row in self.items("batch = ? AND batch_number BETWEEN ? AND ?", batch, first, last)
        }
        with self._database:
            self._database.execute("BEGIN")
            for number in sorted(tracks.keys() - known):
                track = tracks[number]
                self._database.execute(
                    "INSERT INTO items (ident, track, folder, state, batch, batch_number)"
                    " VALUES (?, ?, ?, 'sent', ?, ?)",
                    (f"{batch}/{number}", track, self._names.take(track), batch, number),
                )

    def change(self, number: int, **values: object) -> None:
        """Change fields of an item."""
        columns = ", ".join(f"{name} = ?" for name in values)
        self._database.execute(f"UPDATE items SET {columns} WHERE number = ?", (*values.values(), number))  # noqa: S608

    def change_many(self, changes: Iterable[tuple[int, Mapping[str, object]]]) -> None:
        """Change fields of many items, all or none."""
        with self._database:
            self._database.execute("BEGIN")
            for number, values in changes:
                self.change(number, **values)

    def items(self, where: str = "1", *values: object, limit: int = -1) -> list[Row]:
        """Return items in order; `where` is SQL."""
        return list(self._query(f"SELECT * FROM items WHERE {where} ORDER BY number LIMIT {limit}", *values))  # noqa: S608

    def each(self) -> Iterator[Row]:
        """Yield all items in order, without holding them all."""
        with closing(self._query("SELECT * FROM items ORDER BY number")) as rows:
            yield from rows

    def counts(self) -> dict[str, int]:
        """Return how many items are in each state; `fetched` counts the succeeded ones whose stems are here."""
        rows = self._query("SELECT state, count(*) AS n, sum(fetched) AS fetched FROM items GROUP BY state")
        counts: dict[str, int] = {}
        for row in rows:
            counts[row["state"]] = row["n"]
            counts["fetched"] = counts.get("fetched", 0) + (row["fetched"] if row["state"] == "succeeded" else 0)
        return counts

    # Batches

    def open_batch(self, items: Iterable[int], key: str) -> int:
        """Put items into a batch that is about to be made, and return its number."""
        with self._database:
            self._database.execute("BEGIN")
            batch = self._database.execute("INSERT INTO batches (key) VALUES (?)", (key,)).lastrowid
            for place, number in enumerate(items, 1):
                self.change(number, state="sent", batch=batch, batch_number=place)
        assert batch is not None  # noqa: S101 - a row was written
        return batch

    def drop_batch(self, number: int) -> None:
        """Take a batch back that was not made."""
        with self._database:
            self._database.execute("BEGIN")
            self._database.execute(
                "UPDATE items SET state = 'ready', batch = NULL, batch_number = NULL WHERE batch = ?", (number,)
            )
            self._database.execute("DELETE FROM batches WHERE number = ?", (number,))

    def reopen_batch(self, number: int) -> None:
        """Have the server asked again what becomes of a batch's failed items."""
        with self._database:
            self._database.execute("BEGIN")
            self._database.execute(
                "UPDATE items SET state = 'sent', code = NULL, message = NULL"
                " WHERE batch = ? AND state IN ('failed', 'canceled')",
                (number,),
            )
            self.change_batch(number, ended=0)

    def reopen_files(self) -> None:
        """Have the files uploaded that could not be."""
        self._database.execute(
            "UPDATE items SET state = 'new', code = NULL, message = NULL WHERE batch IS NULL AND state = 'failed'"
        )

    def size_of(self, batch: int) -> int:
        """Return how many items of a batch are known."""
        row = self._one("SELECT count(*) AS n FROM items WHERE batch = ?", batch)
        return int(row["n"]) if row else 0

    def change_batch(self, number: int, **values: object) -> None:
        """Change fields of a batch."""
        columns = ", ".join(f"{name} = ?" for name in values)
        self._database.execute(f"UPDATE batches SET {columns} WHERE number = ?", (*values.values(), number))  # noqa: S608

    def batches(self, where: str = "1") -> list[Row]:
        """Return batches in order; `where` is SQL."""
        return list(self._query(f"SELECT * FROM batches WHERE {where} ORDER BY number"))  # noqa: S608

    def low_water(self, batch: int) -> int:
        """Return after which of a batch's numbers something may still happen."""
        first = self._one("SELECT min(batch_number) AS n FROM items WHERE batch = ? AND state = 'sent'", batch)
        last = self._one("SELECT max(batch_number) AS n FROM items WHERE batch = ?", batch)
        if first and first["n"] is not None:
            return int(first["n"]) - 1
        return int(last["n"]) if last and last["n"] is not None else 0

    # Inner

    def _insert(self, item: Item) -> None:
        state = "invalid" if item.error else "new" if item.path or item.url else "ready"
        self._database.execute(
            "INSERT INTO items (ident, track, folder, line, path, url, source, options, state, code, message)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                item.ident,
                item.track,
                self._names.take(item.track),
                item.line,
                os.fsencode(item.path) if item.path else None,
                item.url,
                json.dumps(item.source) if item.source else None,
                json.dumps(item.options),
                state,
                "line_invalid" if item.error else None,
                item.error,
            ),
        )

    def _query(self, statement: str, *values: object) -> sqlite3.Cursor:
        return self._database.execute(statement, values)

    def _one(self, statement: str, *values: object) -> Row | None:
        row: Row | None = self._query(statement, *values).fetchone()
        return row


def _claimed(path: Path) -> sqlite3.Connection:
    """Hold a lock that ends with the process, however that ends; a database's is one on every system."""
    lock = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise RunBusyError(f"Another run is active in {path.parent.parent}.") from error
    return lock
