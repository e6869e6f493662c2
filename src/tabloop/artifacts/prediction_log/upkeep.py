"""What is done with closed files of the prediction log: compressed, and removed when they are old."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import zstandard

from tabloop.artifacts.files import append_line, open_atomic, utc_now
from tabloop.artifacts.prediction_log.clock import is_believed
from tabloop.artifacts.prediction_log.folder import (
    LIVE_NAME,
    REMOVED_NAME,
    SHIPPED_NAME,
    RotatedFile,
    parse_rotated,
    rotated_files,
    upkeep_alone,
)
from tabloop.artifacts.prediction_log.ids import split_id
from tabloop.artifacts.prediction_log.verify import sequences_of
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.errors import TabloopError

_LOGGER = logging.getLogger(__name__)

_LEVEL = 3
_CHUNK_BYTES = 1 << 20
_DAY_S = 86_400
_NICE = 10


class Upkeep:
    """Does the upkeep in a thread that gives way to everything else.

    Parameters
    ----------
    folder : pathlib.Path
        The folder that holds the log.
    config : PredictionLogConfig
        Whether files are compressed, how long they are kept.
    """

    def __init__(self, folder: Path, config: PredictionLogConfig) -> None:
        self._folder = folder
        self._config = config
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_asked_again = False

    def request(self) -> None:
        """Have it done soon."""
        with self._lock:
            if self._thread is not None:
                self._is_asked_again = True
                return
            # a daemon: what a process that ends leaves half done, the next one finishes
            self._thread = threading.Thread(target=self._run, name="prediction-log-upkeep", daemon=True)
            self._thread.start()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until all that was asked for is done."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def _run(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            try:
                keep_up(self._folder, self._config)
            except (OSError, TabloopError, zstandard.ZstdError) as error:
                _LOGGER.warning("%s: upkeep of the prediction log failed: %s", self._folder, error)
            with self._lock:
                if not self._is_asked_again:
                    self._thread = None
                    return
                self._is_asked_again = False


def keep_up(
    folder: Path, config: PredictionLogConfig, *, clock_s: Callable[[], float] = time.time
) -> list[RotatedFile]:
    """Finish what a crash left, compress closed files, remove those that are too old or too many.

    One process does this at a time; the others wait.

    Parameters
    ----------
    folder : pathlib.Path
        The folder that holds the log.
    config : PredictionLogConfig
        Whether and for how long.
    clock_s : callable, optional
        The wall clock, in seconds.

    Returns
    -------
    removed : list of RotatedFile
        The oldest first; `removed_predictions.jsonl` has noted them before. After a leap of the clock by more
        than 30 days none is too old until a look a day later.
    """
    with upkeep_alone(folder):
        _clean(folder)
        if config.compress:
            for file in rotated_files(folder):
                if not file.is_compressed:
                    compress(file.path)
        removed = _expired(folder, config, clock_s())
        for file in removed:
            _remove(file)
        return removed


def compress(path: Path) -> Path:
    """Compress a closed file; it is gone only when the compressed one is on disk.

    Returns
    -------
    path : pathlib.Path
        The path of the compressed file.
    """
    target = path.with_name(path.name + ".zst")
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    with path.open("rb") as source, open_atomic(target) as sink:
        compressor.copy_stream(
            source, sink, size=path.stat().st_size, read_size=_CHUNK_BYTES, write_size=_CHUNK_BYTES
        )
    path.unlink()
    return target


def _clean(folder: Path) -> None:
    for path in folder.glob(".prediction_log-*.tmp"):
        path.unlink()
    for path in folder.glob("prediction_log-*.jsonl.zst"):  # named last, so complete
        if parse_rotated(path) is not None:
            path.with_suffix("").unlink(missing_ok=True)


def _expired(folder: Path, config: PredictionLogConfig, now_s: float) -> list[RotatedFile]:
    files = rotated_files(folder)
    sizes = [file.path.stat().st_size for file in files]
    total = sum(sizes)
    with contextlib.suppress(FileNotFoundError):
        total += (folder / LIVE_NAME).stat().st_size
    n_expired = 0
    last_rows_s = [_last_row_s(file, now_s) for file in files]
    by_age = bool(files) and config.keep_days is not None
    by_age = by_age and is_believed(folder, now_s, newest_s=last_rows_s[-1])
    kept_from = _first_unshipped(files, folder) if config.ship else len(files)
    for place, (size, last_s) in enumerate(zip(sizes, last_rows_s, strict=True)):
        is_old = by_age and config.keep_days is not None and last_s < now_s - config.keep_days * _DAY_S
        is_old = is_old and place < kept_from
        is_too_much = config.keep_bytes is not None and total > config.keep_bytes
        if not (is_old or is_too_much):
            break
        total -= size
        n_expired += 1
    return files[:n_expired]


def _first_unshipped(files: list[RotatedFile], folder: Path) -> int:
    """Find the first file that is not on the remote yet: however old, it is kept."""
    try:
        shipped = (folder / SHIPPED_NAME).read_text()
    except FileNotFoundError:
        shipped = ""
    return next((place for place, file in enumerate(files) if file.last > shipped), len(files))


def _last_row_s(file: RotatedFile, now_s: float) -> float:
    """Tell when the last row of a closed file was written, in seconds since 1970.

    A clock that once was ahead leaves ids in the future, and every later id follows them. Such an id says
    nothing of a file's age; its modification time does. Where that is in the future too the file is as old
    as the first look at it, which is noted as its modification time.
    """
    by_id_s = split_id(file.last).time.timestamp()
    if by_id_s <= now_s + _DAY_S:
        return by_id_s
    by_file_s = file.path.stat().st_mtime
    if by_file_s > now_s:
        os.utime(file.path, (now_s, now_s))
        by_file_s = now_s
    return by_file_s


def _remove(file: RotatedFile) -> None:
    n_rows, sequences = sequences_of(file)
    note = {
        "first": file.first,
        "last": file.last,
        "rows": n_rows,
        "sequences": sequences,
        "removed_at": utc_now(),
    }
    append_line(file.path.with_name(REMOVED_NAME), note)
    file.path.unlink()
    _LOGGER.info("%s: removed, its last row is of %s", file.path, _day(file))


def _day(file: RotatedFile) -> str:
    return split_id(file.last).time.astimezone(UTC).isoformat()
