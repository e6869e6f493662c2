"""Copy closed files of the prediction log, and outcomes, to the remote: each once, whatever happens."""

from __future__ import annotations

import logging
import re
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import zstandard

from tabloop.artifacts.documents.document import document_bytes
from tabloop.artifacts.files import iso_utc, locked, sha256_of_bytes, sha256_of_file, utc_now, write_atomic
from tabloop.artifacts.layout import FEEDBACK
from tabloop.artifacts.prediction_log.folder import (
    ID_PATTERN,
    LIVE_NAME,
    SHIPPED_NAME,
    RotatedFile,
    rotated_files,
    writers_held_off,
)
from tabloop.artifacts.prediction_log.ids import TICKS_PER_MS, id_prefix, split_id
from tabloop.artifacts.prediction_log.lines import ID_SLICE
from tabloop.artifacts.prediction_log.live import LiveLog
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.fleet.machine import MachineReport, machine_name
from tabloop.fleet.remote import MACHINE, OUTCOMES, PREDICTIONS, machine_key
from tabloop.outcomes.index import lock_path
from tabloop.storage.object_store import ObjectStore

_LOG = logging.getLogger("tabloop.fleet")

#: How a shipped file of the log is called: its first and last id, and its hash.
PREDICTION_PART = re.compile(rf"({ID_PATTERN})-({ID_PATTERN})-([0-9a-f]{{64}})\.jsonl\.zst")
#: Shipped outcomes: the bytes of `feedback.jsonl` from and to, and the hash.
OUTCOME_PART = re.compile(r"(\d{15})-(\d{15})-([0-9a-f]{64})\.jsonl\.zst")

_LEVEL = 3
_OUTCOME_BYTES = 4 << 20
#: How old outcomes get before they are shipped, where no file is closed by its age.
_OUTCOMES_WAIT_HOURS = 0.1
#: Says again that the machine is there, although nothing is new.
_SIGN_OF_LIFE_S = 15.0
#: With durability `memory`, rows wait for a second before they are in the log.
_MEMORY_TICKS = 3_000 * TICKS_PER_MS


class Shipper:
    """Ships what one machine writes.

    What is on the remote says what is shipped, so a machine that was killed goes on where it was. Nothing
    here is on the way of a request: files are copied once they are closed.

    Parameters
    ----------
    project : Project
        The folder of the log, and when its files are closed.
    remote : ObjectStore
        Takes them.

    Attributes
    ----------
    waiting_files : int
        Closed files that are not on the remote yet.
    """

    def __init__(self, project: Project, remote: ObjectStore) -> None:
        self._folder = project.model_dir
        self._config = project.config.prediction_log
        self._store = RunStore(project.model_dir)
        self._remote = remote
        self.machine = machine_name(project.model_dir)
        self.waiting_files = 0
        self._shipped: set[tuple[str, str]] | None = None
        self._outcomes_end = 0
        self._outcomes_shipped_at = float("-inf")
        self._said_at = float("-inf")

    def look(self, *, is_last: bool = False) -> None:
        """Ship all that is closed and not shipped yet.

        Parameters
        ----------
        is_last : bool, default=False
            Close the live file first, and say that the machine leaves.

        Raises
        ------
        StorageError
            If the remote does not answer: what is not shipped waits on the disk.
        OSError, ArtifactError
            If the log cannot be read.
        """
        self._close_file(now=is_last)
        complete_before = self._complete_before()
        shipped = self._learn_shipped()
        files = [file for file in rotated_files(self._folder) if (file.first, file.last) not in shipped]
        self.waiting_files = len(files)
        is_news = bool(files)
        for file in files:
            self._ship(file)
            shipped.add((file.first, file.last))
            write_atomic(self._folder / SHIPPED_NAME, file.last.encode())
            self.waiting_files -= 1
        is_news = self._ship_outcomes(now=is_last) or is_news
        if is_news or is_last or time.monotonic() - self._said_at >= _SIGN_OF_LIFE_S:
            self._say(complete_before, is_last=is_last)

    def _close_file(self, *, now: bool) -> None:
        """Close the live file when it is time, also where nobody writes."""
        live = self._folder / LIVE_NAME
        if not live.exists() or not live.stat().st_size:
            return
        size = 1 if now else self._config.rotate_bytes
        log = LiveLog(
            self._folder, rotate_bytes=size, rotate_hours=self._config.rotate_hours, is_synced=False
        )
        try:
            log.repair()
        finally:
            log.close()

    def _complete_before(self) -> str:
        """Give the least id that a row may have which is in no closed file."""
        with writers_held_off(self._folder):
            tick = time.time_ns() * TICKS_PER_MS // 1_000_000
            try:
                with (self._folder / LIVE_NAME).open("rb") as file:
                    first = file.readline()
            except FileNotFoundError:
                first = b""
        if len(first) > ID_SLICE.stop:
            tick = min(tick, split_id(first[ID_SLICE].decode()).tick)
        if self._config.durability == "memory":
            tick -= _MEMORY_TICKS
        return id_prefix(tick, 0) + "00000000"

    def _learn_shipped(self) -> set[tuple[str, str]]:
        """Ask the remote what is there, once."""
        if self._shipped is None:
            shipped = set()
            for name in self._names(PREDICTIONS):
                if part := PREDICTION_PART.fullmatch(name):
                    shipped.add((part[1], part[2]))
            for name in self._names(OUTCOMES):
                if part := OUTCOME_PART.fullmatch(name):
                    self._outcomes_end = max(self._outcomes_end, int(part[2]))
            self._shipped = shipped
            if shipped:
                write_atomic(self._folder / SHIPPED_NAME, max(last for _, last in shipped).encode())
        return self._shipped

    def _names(self, kind: str) -> Iterator[str]:
        return (PurePosixPath(key).name for key in self._remote.keys(machine_key(self.machine, kind) + "/"))

    def _ship(self, file: RotatedFile) -> None:
        with tempfile.TemporaryDirectory(prefix="tabloop-ship-", dir=self._folder) as made:
            path = Path(made) / "part"
            compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
            with file.open() as source, path.open("wb") as sink:
                compressor.copy_stream(source, sink)
            name = f"{file.first}-{file.last}-{sha256_of_file(path)}.jsonl.zst"
            self._remote.put(machine_key(self.machine, PREDICTIONS, name), path)

    def _ship_outcomes(self, *, now: bool) -> bool:
        path = self._folder / FEEDBACK
        if not path.exists():
            return False
        with locked(lock_path(path)):
            size = path.stat().st_size  # what stands there now is never taken back
        # as often as files are closed: each object costs requests, and its prediction is not there sooner
        wait_s = 3600 * (self._config.rotate_hours or _OUTCOMES_WAIT_HOURS)
        is_due = now or time.monotonic() - self._outcomes_shipped_at >= wait_s
        is_news = False
        with path.open("rb") as file:
            while self._outcomes_end < size and (is_due or size - self._outcomes_end >= _OUTCOME_BYTES):
                file.seek(self._outcomes_end)
                lines, newline, _ = file.read(min(_OUTCOME_BYTES, size - self._outcomes_end)).rpartition(
                    b"\n"
                )
                if not newline:
                    break
                content = zstandard.ZstdCompressor(level=_LEVEL).compress(lines + newline)
                end = self._outcomes_end + len(lines) + 1
                name = f"{self._outcomes_end:015d}-{end:015d}-{sha256_of_bytes(content)}.jsonl.zst"
                self._remote.put(machine_key(self.machine, OUTCOMES, name), content)
                self._outcomes_end, is_news = end, True
                self._outcomes_shipped_at = time.monotonic()
        return is_news

    def _say(self, complete_before: str, *, is_last: bool) -> None:
        now = utc_now()
        report = MachineReport(
            machine=self.machine,
            written_at=now,
            complete_before=complete_before,
            complete_before_time=iso_utc(split_id(complete_before).time.astimezone(UTC)),
            waiting_files=self.waiting_files,
            run_id=self._store.champion_name(),
            left_at=now if is_last else None,
        )
        self._remote.put(machine_key(self.machine, MACHINE), document_bytes(report))
        self._said_at = time.monotonic()


def age_s(moment: str) -> float:
    """Tell how long ago a time is, ISO 8601 in UTC; in seconds."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
