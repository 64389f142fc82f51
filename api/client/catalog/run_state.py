"""The state of a run: a SQLite database in the output folder, from which an interrupted run is resumed.

Only one run at a time writes it. Each change is one transaction, so a killed run leaves a consistent state. If the last
change is lost, the request before it is sent again with the same idempotency key.

The state of an item is `new` (a file to upload), `ready` (the server can read its mixture), `sent` (in a batch), or
final: `succeeded`, `failed`, `canceled`, `invalid`.
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
from api.client.catalog.tracks.items import CatalogItem
from api.client.catalog.tracks.left_out import LeftOutPath
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
CREATE TABLE IF NOT EXISTS left_out (path TEXT NOT NULL, reason TEXT NOT NULL, files INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS by_state ON items (state, fetched, number);
CREATE UNIQUE INDEX IF NOT EXISTS by_place ON items (batch, batch_number);
"""

Row = sqlite3.Row


class RunBusyError(ClientError):
    """Another run is active in the output folder."""


class NoRunError(ClientError):
    """The output folder contains no run."""


class RunState:
    """The state in an output folder. With `writes` it is locked for one run."""

    def __init__(self, out: Path, *, writes: bool) -> None:
        self.folder = out / STATE_FOLDER
        self._lock: sqlite3.Connection | None = None
        if writes:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock_file(self.folder / "lock.sqlite3")
        elif not self.folder.is_dir():
            raise NoRunError(f"{out} does not contain a run of `stemqueue catalog`.")
        self._database = sqlite3.connect(self.folder / "state.sqlite3", timeout=30, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self.partial = self.folder / "partial"
        """The folder of incomplete files; it is emptied at the start of a run."""
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

    def value(self, name: str) -> Any:
        """Return a stored value of the run, or None."""
        row = self._database.execute("SELECT value FROM run WHERE name = ?", (name,)).fetchone()
        return json.loads(row["value"]) if row else None

    def set_values(self, values: Mapping[str, object]) -> None:
        """Store values of the run, which must be JSON."""
        with self._database:
            self._database.execute("BEGIN")
            for name, value in values.items():
                self._database.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (name, json.dumps(value)))

    @property
    def run_id(self) -> str:
        """A random id of this run."""
        if self.value("id") is None:
            self.set_values({"id": secrets.token_hex(8)})
        return str(self.value("id"))

    def clear(self) -> None:
        """Delete everything that is stored of the run."""
        with self._database:
            self._database.execute("BEGIN")
            for table in ("run", "batches", "items", "left_out"):
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608
        self._names = FolderNames([])

    def has_sent(self) -> bool:
        """Return whether the server has an upload or a batch of the run."""
        uploaded = "(path IS NOT NULL OR url IS NOT NULL) AND source IS NOT NULL"
        return bool(self.find_batches() or self.find_items(uploaded, limit=1))

    # Items

    def add_items(self, items: Iterable[CatalogItem]) -> int:
        """Add the items that are not stored yet; return their number."""
        known = {row["ident"] for row in self._query("SELECT ident FROM items")}
        added = 0
        with self._database:
            self._database.execute("BEGIN")
            for item in items:
                if item.ident not in known:
                    added += 1
                    self._insert(item)
        return added

    def add_listed_items(self, batch: int, tracks: Mapping[int, str]) -> None:
        """Add the tracks that the server found below a prefix, and those that continue others, unless stored.

        `tracks` has their names by their numbers in the batch. Each number is added once: a track that is to be
        uploaded again has left the batch.
        """
        first, last = min(tracks, default=0), max(tracks, default=-1)
        rows = self.find_items("batch = ? AND batch_number BETWEEN ? AND ?", batch, first, last)
        known = {row["batch_number"] for row in rows}
        listed = self._last_listed_number(batch)
        with self._database:
            self._database.execute("BEGIN")
            for number in sorted(n for n in tracks.keys() - known if n > listed):
                track = tracks[number]
                self._database.execute(
                    "INSERT INTO items (ident, track, folder, state, batch, batch_number)"
                    " VALUES (?, ?, ?, 'sent', ?, ?)",
                    (f"{batch}/{number}", track, self._names.name_for(track), batch, number),
                )
            if last > listed:
                self._database.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", (f"listed/{batch}", str(last)))

    def drop_followers(self, row: Row) -> None:
        """Delete the items that the server listed behind an item because they continue it: it is sent again."""
        batch, number = row["batch"], row["batch_number"]
        listed = "ident = batch || '/' || batch_number"
        self._database.execute(
            f"DELETE FROM items WHERE batch = ? AND batch_number > ? AND {listed} AND batch_number <"  # noqa: S608
            " (SELECT ifnull(min(batch_number), 1e18) FROM items"
            f" WHERE batch = ? AND batch_number > ? AND NOT {listed})",
            (batch, number, batch, number),
        )

    def change_item(self, number: int, **values: object) -> None:
        """Change fields of an item."""
        columns = ", ".join(f"{name} = ?" for name in values)
        self._database.execute(f"UPDATE items SET {columns} WHERE number = ?", (*values.values(), number))  # noqa: S608

    def change_items(self, changes: Iterable[tuple[int, Mapping[str, object]]]) -> None:
        """Change fields of many items in one transaction."""
        with self._database:
            self._database.execute("BEGIN")
            for number, values in changes:
                self.change_item(number, **values)

    def find_items(self, where: str = "1", *values: object, limit: int = -1) -> list[Row]:
        """Return items in the catalog's order; `where` is an SQL condition with `values` as its parameters."""
        return list(self._query(f"SELECT * FROM items WHERE {where} ORDER BY number LIMIT {limit}", *values))  # noqa: S608

    def iterate_items(self) -> Iterator[Row]:
        """Yield all items in the catalog's order, without loading them all."""
        with closing(self._query("SELECT * FROM items ORDER BY number")) as rows:
            yield from rows

    def count_by_state(self) -> dict[str, int]:
        """Return the number of items in each state; `fetched` counts succeeded ones whose stems are downloaded."""
        rows = self._query("SELECT state, count(*) AS n, sum(fetched) AS fetched FROM items GROUP BY state")
        counts: dict[str, int] = {}
        for row in rows:
            counts[row["state"]] = row["n"]
            counts["fetched"] = counts.get("fetched", 0) + (row["fetched"] if row["state"] == "succeeded" else 0)
        return counts

    def set_left_out(self, left_out: Iterable[LeftOutPath]) -> None:
        """Record what the catalog leaves out, instead of what was recorded before."""
        with self._database:
            self._database.execute("BEGIN")
            self._database.execute("DELETE FROM left_out")
            rows = ((item.path, item.reason, item.files) for item in left_out)
            self._database.executemany("INSERT INTO left_out VALUES (?, ?, ?)", rows)

    def left_out(self) -> Iterator[LeftOutPath]:
        """Yield what the catalog leaves out."""
        for row in self._query("SELECT path, reason, files FROM left_out ORDER BY rowid"):
            yield LeftOutPath(row["path"], row["reason"], row["files"])

    # Batches

    def open_batch(self, items: Mapping[int, int], key: str) -> int:
        """Put items into a new batch that will be created on the server; return its number here.

        `items` has the number of items that the server makes of each. Items of a chain are numbered after their first.
        """
        with self._database:
            self._database.execute("BEGIN")
            batch = self._database.execute("INSERT INTO batches (key) VALUES (?)", (key,)).lastrowid
            place = 1
            for number, made in items.items():
                self.change_item(number, state="sent", batch=batch, batch_number=place)
                place += made
        assert batch is not None  # noqa: S101 - a row was inserted
        return batch

    def drop_batch(self, number: int) -> None:
        """Delete a batch that the server did not create; its items become ready again."""
        with self._database:
            self._database.execute("BEGIN")
            self._database.execute(
                "UPDATE items SET state = 'ready', batch = NULL, batch_number = NULL WHERE batch = ?", (number,)
            )
            self._database.execute("DELETE FROM batches WHERE number = ?", (number,))

    def reopen_batch(self, number: int) -> None:
        """Poll a batch again, after its failed items were retried."""
        with self._database:
            self._database.execute("BEGIN")
            self._database.execute(
                "UPDATE items SET state = 'sent', code = NULL, message = NULL"
                " WHERE batch = ? AND state IN ('failed', 'canceled')",
                (number,),
            )
            self.change_batch(number, ended=0)

    def reopen_files(self) -> None:
        """Upload files again whose upload failed."""
        self._database.execute(
            "UPDATE items SET state = 'new', code = NULL, message = NULL WHERE batch IS NULL AND state = 'failed'"
        )

    def batch_size(self, batch: int) -> int:
        """Return the number of a batch's items that are stored."""
        row = self._one("SELECT count(*) AS n FROM items WHERE batch = ?", batch)
        return int(row["n"]) if row else 0

    def change_batch(self, number: int, **values: object) -> None:
        """Change fields of a batch."""
        columns = ", ".join(f"{name} = ?" for name in values)
        self._database.execute(f"UPDATE batches SET {columns} WHERE number = ?", (*values.values(), number))  # noqa: S608

    def find_batches(self, where: str = "1") -> list[Row]:
        """Return batches in the order of their creation; `where` is an SQL condition."""
        return list(self._query(f"SELECT * FROM batches WHERE {where} ORDER BY number"))  # noqa: S608

    def last_settled_number(self, batch: int) -> int:
        """Return the number in a batch up to which all items have been listed and have ended."""
        first = self._one("SELECT min(batch_number) AS n FROM items WHERE batch = ? AND state = 'sent'", batch)
        listed = self._last_listed_number(batch)
        # Items that the server makes to continue others are no rows until it lists them.
        return min(int(first["n"]) - 1, listed) if first and first["n"] is not None else listed

    def _last_listed_number(self, batch: int) -> int:
        return int(self.value(f"listed/{batch}") or 0)

    def _insert(self, item: CatalogItem) -> None:
        state = "invalid" if item.error else "new" if item.path or item.url else "ready"
        self._database.execute(
            "INSERT INTO items (ident, track, folder, line, path, url, source, options, state, code, message)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                item.ident,
                item.track,
                self._names.name_for(item.track),
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


def _lock_file(path: Path) -> sqlite3.Connection:
    """Take a lock that ends with the process. A database lock works on every operating system."""
    lock = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise RunBusyError(f"Another run is active in {path.parent.parent}.") from error
    return lock
