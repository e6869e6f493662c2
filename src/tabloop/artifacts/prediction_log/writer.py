"""The prediction log: what was answered, written so that nothing of it is lost or torn."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tabloop.artifacts.prediction_log.group_commit import GroupCommit
from tabloop.artifacts.prediction_log.ids import PREFIX_CHARACTERS, PredictionIds, id_texts, split_id
from tabloop.artifacts.prediction_log.lines import LineEncoder, utc_text
from tabloop.artifacts.prediction_log.live import Batch, LiveLog, RolledForwardError
from tabloop.artifacts.prediction_log.upkeep import Upkeep
from tabloop.artifacts.prediction_log.written_range import WrittenRange
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.errors import ArtifactError, LogUnwritableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOGGER = logging.getLogger(__name__)


class Appended(NamedTuple):
    """What became of a batch.

    Attributes
    ----------
    prediction_ids : list of str
        One a row, whether it was written or not.
    is_logged : bool
        False when the log could not be written and the policy is to drop.
    ticket : int
        The ticket that `PredictionLogWriter.committed` takes.
    """

    prediction_ids: list[str]
    is_logged: bool
    ticket: int


class PredictionLogWriter:
    """Appends predictions to `prediction_log.jsonl`, beside any number of other writers.

    Threads may share one. After a fork the child's copy refuses to write: it would give the parent's ids.

    Parameters
    ----------
    folder : pathlib.Path
        The artifact folder.
    config : PredictionLogConfig
        Durability, rotation, privacy.
    environ : mapping, optional
        Where the key for hashed columns is; by default the process's environment.
    clock_ns : callable, optional
        The wall clock, nanoseconds since 1970.
    flush_interval_s, buffer_bytes : float, int
        With durability `memory`: how long rows wait at most, and how many bytes of them.

    Attributes
    ----------
    problem : str or None
        Why the last try to write failed; None when it did not. An unwritable log does not keep a writer
        from being made: each append tries again.

    Raises
    ------
    ConfigError
        If columns are to be hashed and the key is missing.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with PredictionLogWriter(Path(folder), PredictionLogConfig()) as log:
    ...         rows = [{"minutes_watched": 180.0}, {"minutes_watched": 2.0}]
    ...         appended = log.append(rows, [0.41, 0.07], [0, 0], run_id="20261123T2115", threshold=0.5)
    >>> len(appended.prediction_ids), appended.is_logged
    (2, True)
    """

    def __init__(
        self,
        folder: Path,
        config: PredictionLogConfig,
        *,
        environ: Mapping[str, str] | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        flush_interval_s: float = 1.0,
        buffer_bytes: int = 1 << 20,
    ) -> None:
        self.problem: str | None = None
        self._config = config
        self._clock_ns = clock_ns
        self._flush_interval_s = flush_interval_s
        self._buffer_bytes = buffer_bytes
        self._encoder = LineEncoder(config, environ)
        self._ids = PredictionIds(clock_ns)
        self._newest_prefix = ""
        self._mutex = threading.Lock()
        self._state = "open"
        self._live = LiveLog(
            folder,
            rotate_bytes=config.rotate_bytes,
            rotate_hours=config.rotate_hours,
            is_synced=config.durability == "power",
            clock_ns=clock_ns,
        )
        self._upkeep = Upkeep(folder, config)
        self._commits = GroupCommit(self._take_descriptors)
        self._waiting: list[Batch] = []
        self._waiting_bytes = 0
        self._ending = threading.Event()
        self._flusher: threading.Thread | None = None
        try:
            self._live.repair()
            self._upkeep.request()
        except OSError as error:
            self._note_problem(error)
        if config.durability == "memory":
            self._flusher = threading.Thread(target=self._flush_regularly, name="prediction-log", daemon=True)
            self._flusher.start()
        _WRITERS.add(self)
        atexit.register(self.close)

    def append(
        self,
        records: Sequence[Any],
        probability: Sequence[float] | NDArray[Any],
        label: Sequence[int] | NDArray[Any],
        *,
        run_id: str,
        threshold: float,
        event_ids: Sequence[str | None] | None = None,
    ) -> Appended:
        """Log some predictions: all of them, or none.

        With durability `process` and `power` they are in the kernel's hands when this returns; for `power`,
        wait for `committed` before answering.

        Parameters
        ----------
        records : sequence of msgspec.Struct or dict
            The features of each row.
        probability : sequence or array of float
            The probability of the positive class.
        label : sequence or array of int
            1 where the probability is at least the threshold, else 0.
        run_id : str
            The run that answered.
        threshold : float
            The decision threshold of that run.
        event_ids : sequence of str or None, optional
            The event that each row answers, where there is one.

        Returns
        -------
        appended : Appended
            The ids; with policy `drop` also whether the rows were logged.

        Raises
        ------
        LogUnwritableError
            If the log cannot be written and the policy is to refuse. The next append tries again.
        ArtifactError
            If the writer is closed, or the process is a fork of the one that made it.
        ValueError
            If the sequences differ in length.
        TypeError
            If a record holds what JSON does not have.
        """
        rows = (self._encoder.public(records), _plain(probability), _plain(label), event_ids)
        n_rows = len(records)
        if n_rows == 0 and len(rows[1]) == len(rows[2]) == 0:
            return Appended([], True, 0)
        ids: list[str] = []

        def stamp(newest: str) -> Batch:
            nonlocal ids
            is_foreign = newest != "" and newest[:PREFIX_CHARACTERS] != self._newest_prefix
            after_tick = split_id(newest).tick if is_foreign else 0  # ids always come after our own
            ids = id_texts(*self._ids.begin(n_rows, after_tick), n_rows)
            content = self._encoder.lines(
                ids, *rows, time=utc_text(self._clock_ns()), run_id=run_id, threshold=threshold
            )
            return Batch(content, ids[0], ids[-1], n_rows)

        with self._mutex:
            if self._state != "open":
                raise ArtifactError(
                    f"{self._live.path}: this writer is {self._state}; make one in the process that uses it"
                )
            try:
                if self._config.durability == "memory":
                    self._put_in_memory(stamp(""))
                else:
                    self._write(stamp)
            except OSError as error:
                self._note_problem(error)
                if isinstance(error, RolledForwardError):
                    self._ids.renew()  # some of these numbers may be in the file
                if self.refuses_when_unwritable:
                    raise LogUnwritableError(f"{self._live.path}: {self.problem}") from error
                return Appended(ids or id_texts(*self._ids.begin(n_rows), n_rows), False, 0)
            except BaseException:
                self._ids.renew()  # an interrupt may have come after the write
                raise
            self._ids.confirm(n_rows)
            self._newest_prefix = ids[0][:PREFIX_CHARACTERS]
            ticket = self._commits.give_ticket() if self._config.durability == "power" else 0
        return Appended(ids, True, ticket)

    @property
    def written(self) -> WrittenRange:
        """The latest stretch of the live file that this writer wrote while nobody else wrote."""
        return self._live.written

    @property
    def refuses_when_unwritable(self) -> bool:
        """Whether rows are refused while the log cannot be written."""
        return self._config.on_unwritable == "refuse"

    def check(self) -> str | None:
        """Try whether the next batch could be written; the log stays as it is. Threads may call it.

        Returns
        -------
        problem : str or None
            Why not, as the attribute `problem` then says; None when it could.
        """
        trial = LiveLog(self._live.path.parent, rotate_bytes=1, rotate_hours=None, is_synced=False)
        try:
            trial.check()
        except OSError as error:
            self._note_problem(error)
        else:
            self.problem = None
        finally:
            trial.close()
        return self.problem

    async def committed(self, ticket: int) -> None:
        """Wait until a batch is as safe as `durability` says; at once unless that is `power`.

        Raises
        ------
        LogUnwritableError
            If the disk refused to sync and the policy is to refuse.
        """
        if ticket:
            with self._sync_failure_by_policy():
                await self._commits.wait_async(ticket)

    def wait_committed(self, ticket: int) -> None:
        """Do as `committed` does where there is no event loop."""
        if ticket:
            with self._sync_failure_by_policy():
                self._commits.wait(ticket)

    @contextlib.contextmanager
    def _sync_failure_by_policy(self) -> Iterator[None]:
        try:
            yield
        except LogUnwritableError as error:
            self.problem = str(error)
            if self.refuses_when_unwritable:
                raise

    def flush(self) -> None:
        """Write what waits in memory.

        Raises
        ------
        LogUnwritableError
            If it cannot be written; it goes on waiting.
        """
        with self._mutex:
            try:
                self._flush()
            except OSError as error:
                self._note_problem(error)
                raise LogUnwritableError(f"{self._live.path}: {self.problem}") from error

    def close(self) -> None:
        """Write and sync all that is left; the writer takes nothing more.

        Raises
        ------
        LogUnwritableError
            If what is left cannot be written and the policy is to refuse.
        """
        if self._state != "open":
            return
        atexit.unregister(self.close)
        self._ending.set()
        if self._flusher is not None:
            self._flusher.join()
        try:
            self.flush()
            self._commits.close()
        except LogUnwritableError:
            if self.refuses_when_unwritable:
                raise
        finally:
            with self._mutex:
                self._state = "closed"
                self._live.close()
            self._upkeep.wait(timeout_s=10.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, stamp: Callable[[str], Batch]) -> None:
        rotations = self._live.rotations
        self._live.append(stamp)
        self.problem = None
        if self._live.rotations != rotations:
            self._upkeep.request()

    def _put_in_memory(self, batch: Batch) -> None:
        if self._waiting_bytes + len(batch.content) > self._buffer_bytes:
            self._flush()
        self._waiting.append(batch)
        self._waiting_bytes += len(batch.content)

    def _flush(self) -> None:
        if not self._waiting:
            return
        together = Batch(
            b"".join(batch.content for batch in self._waiting),
            self._waiting[0].first,
            self._waiting[-1].last,
            sum(batch.n_rows for batch in self._waiting),
        )
        self._write(lambda _: together)
        self._waiting, self._waiting_bytes = [], 0

    def _flush_regularly(self) -> None:
        while not self._ending.wait(self._flush_interval_s):
            with self._mutex:
                try:
                    self._flush()
                except OSError as error:  # the rows wait on, and append says so when there are too many
                    self._note_problem(error)

    def _take_descriptors(self) -> list[int]:
        with self._mutex:
            return self._live.take_descriptors()

    def _note_problem(self, error: OSError) -> None:
        problem = f"cannot be written: {error.strerror or error}; free space or mend permissions"
        if problem != self.problem:
            _LOGGER.error("%s: %s", self._live.path, problem)
        self.problem = problem

    def _abandon(self) -> None:
        """Let go of the parent's files after a fork."""
        self._state = "of another process"
        self._mutex = threading.Lock()  # the parent's may be held by a thread that is not here
        self._live.abandon()


def _plain(values: Any) -> Any:
    """Turn an array into plain numbers."""
    return values.tolist() if hasattr(values, "tolist") else values


_WRITERS: weakref.WeakSet[PredictionLogWriter] = weakref.WeakSet()


def _abandon_all() -> None:
    for writer in list(_WRITERS):
        writer._abandon()


os.register_at_fork(after_in_child=_abandon_all)
