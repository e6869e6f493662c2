"""Which events have their decision, in a file beside the runs: for brokers that cannot tell a repetition."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tabloop.artifacts.files import locked
from tabloop.errors import ArtifactError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS decided (event_id TEXT PRIMARY KEY, position TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unsure ON decided (position) WHERE position IS NOT NULL;
"""
_VARIABLES = 500  # event ids in one statement, which SQLite limits


class DecidedLedger:
    """Event ids, each noted before its decision is written and settled after; in SQLite, synced to disk.

    A process that dies in between leaves its events unsettled: whether their decisions were written, only
    the sink can tell.

    Parameters
    ----------
    path : pathlib.Path
        The file; made if it is not there.

    Raises
    ------
    ArtifactError
        If it cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ledger = DecidedLedger(Path(folder) / "decided.sqlite")
    ...     ledger.note(["a", "b"], position="17")
    ...     ledger.settle(["a"])
    ...     ledger.known(["a", "b", "c"]) == {"a", "b"}, ledger.unsettled()
    (True, {'b': '17'})
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # the consumer calls it from a thread of its own, never from two at once
            with self._alone():
                self._database = sqlite3.connect(
                    path, timeout=30, isolation_level=None, check_same_thread=False
                )
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = FULL")
                self._database.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise ArtifactError(f"{path}: cannot be opened: {error}") from error

    def known(self, event_ids: Sequence[str]) -> set[str]:
        """Find which of these events were noted."""
        found: set[str] = set()
        for start in range(0, len(event_ids), _VARIABLES):
            part = event_ids[start : start + _VARIABLES]
            marks = ",".join("?" * len(part))
            rows = self._database.execute(
                f"SELECT event_id FROM decided WHERE event_id IN ({marks})",  # noqa: S608 - only marks
                part,
            )
            found.update(row[0] for row in rows)
        return found

    def note(self, event_ids: Iterable[str], *, position: str) -> None:
        """Note events whose decisions are about to be written behind a position of the sink."""
        self._write("INSERT INTO decided VALUES (?, ?)", [(each, position) for each in event_ids])

    def settle(self, event_ids: Iterable[str]) -> None:
        """Say that the decisions of these events are written."""
        self._write("UPDATE decided SET position = NULL WHERE event_id = ?", [(each,) for each in event_ids])

    def forget(self, event_ids: Iterable[str]) -> None:
        """Say that the decisions of these events were not written."""
        self._write("DELETE FROM decided WHERE event_id = ?", [(each,) for each in event_ids])

    def unsettled(self) -> dict[str, str]:
        """Give the events that were noted and not settled, with the position of each."""
        rows = self._database.execute("SELECT event_id, position FROM decided WHERE position IS NOT NULL")
        return dict(rows.fetchall())

    def close(self) -> None:
        """Close the file."""
        with self._alone():
            self._database.close()

    def _alone(self) -> AbstractContextManager[None]:
        """Keep other processes from opening or closing the file at the same time.

        Changing the journal mode, and closing the file as the last process, take it alone. SQLite
        answers "database is locked" at once to others who come then, without waiting for its timeout.
        """
        return locked(self._path.with_suffix(".opening.lock"))

    def _write(self, statement: str, rows: list[tuple[str, ...]]) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(statement, rows)
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise ArtifactError(f"{self._path}: cannot be written: {error}") from error
