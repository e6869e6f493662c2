"""Prediction logs read on a Ray cluster: each closed file by one worker, what was found put together here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

import zstandard

from tabloop.artifacts.prediction_log.folder import RotatedFile, parse_rotated, rotated_files
from tabloop.artifacts.prediction_log.lines import is_whole
from tabloop.artifacts.prediction_log.parts import LogPart, LogPosition, open_rotated, walk_parts
from tabloop.artifacts.prediction_log.reader import line_filter
from tabloop.artifacts.prediction_log.verify import PartAudit, audit_part
from tabloop.cluster.crew import Crew, WorkerDied
from tabloop.cluster.ray_cluster import joined_cluster
from tabloop.drift.history import DriftPiece, HistoryFold
from tabloop.errors import ArtifactMissingError, ClusterError
from tabloop.monitoring.log_drift import LoggedRun

_Outcome = TypeVar("_Outcome")
_NEEDED_BY = "--engine ray"


class AuditWork:
    """What a worker does for `verify_log`."""

    def begin(self) -> Callable[[RotatedFile], PartAudit | None]:
        """Give what looks at a file, None where it is gone."""
        return _audit


def _audit(file: RotatedFile) -> PartAudit | None:
    try:
        part = open_rotated(file)
    except FileNotFoundError:
        return None
    try:
        return audit_part(part)
    finally:
        part.close()


def audits_on_cluster(path: Path, address: str | None) -> Iterator[PartAudit]:
    """Look at the files of a log on a cluster; what they say comes in the order of the log.

    The file that may still grow is read here, and so is a file that stands alone under another name.

    Parameters
    ----------
    path : pathlib.Path
        The artifact folder, or one file of the log, in the same place on every node.
    address : str or None
        As `joined_cluster` takes it.

    Raises
    ------
    ClusterError
        If the cluster cannot be joined, its nodes do not see a file, or a file kills its workers.
    """
    closed = _closed_files(path)
    with joined_cluster(address, needed_by=_NEEDED_BY) as ray:
        crew = Crew[RotatedFile, PartAudit | None](ray, AuditWork(), most=len(closed))
        found = crew.in_order([_everywhere(file) for file in closed])
        for file, audit in zip(closed, found, strict=True):
            seen = _require_seen(file, audit)
            if seen is not None:
                yield replace(seen, path=file.path)
    yield from map(audit_part, _open_rest(path, closed))


@dataclass(frozen=True)
class _ToCount:
    file: RotatedFile


@dataclass(frozen=True)
class _ToFollow:
    file: RotatedFile
    start: int
    kept_from: int


@dataclass(frozen=True)
class _Followed:
    piece: DriftPiece
    skipped_lines: int


@dataclass(frozen=True)
class DriftWork:
    """What a worker does for `drift_of_log`."""

    logged: LoggedRun

    def begin(self) -> Callable[[_ToCount | _ToFollow], int | _Followed | None]:
        """Give what counts the rows of a file or follows them, None where it is gone."""
        test = self.logged.follower.test()

        def do(item: _ToCount | _ToFollow) -> int | _Followed | None:
            try:
                if isinstance(item, _ToCount):
                    return _count(item.file, self.logged.run_id)
                logged = replace(self.logged)
                rows = logged.rows(item.file.path)
                piece = logged.follower.piece(rows, item.start, item.kept_from, test)
                return _Followed(piece, logged.skipped_lines)
            except (ArtifactMissingError, FileNotFoundError):
                return None

        return do


def _count(file: RotatedFile, run_id: str) -> int:
    """Count the whole lines of a run, without decoding them."""
    keep, rows = line_filter(run_id, None), 0
    part = open_rotated(file)
    try:
        for lines in part.chunks():
            rows += sum(map(is_whole, keep(lines)))
    except zstandard.ZstdError:  # whoever reads the file reports it
        pass
    finally:
        part.close()
    return rows


def follow_on_cluster(address: str | None) -> Callable[[LoggedRun, Path, HistoryFold], None]:
    """Give what follows the rows of a log on a cluster, for `drift_of_log`.

    Windows are counted from the first row, so the rows of each file are counted before any is followed. A
    line whose checksum is right and whose content is not would be counted and not followed: then the files
    behind it are followed again from where they really begin.

    Parameters
    ----------
    address : str or None
        As `joined_cluster` takes it.
    """

    def follow(logged: LoggedRun, path: Path, fold: HistoryFold) -> None:
        closed = _closed_files(path)
        with joined_cluster(address, needed_by=_NEEDED_BY) as ray:
            crew = Crew[_ToCount | _ToFollow, int | _Followed | None](
                ray, DriftWork(logged), most=len(closed)
            )
            _follow_closed(crew, logged, closed, fold)
        after = closed[-1].last if closed else ""
        if path.is_dir() or not closed:
            for batch in logged.rows(path, LogPosition(after)):
                fold.add_rows(batch)

    return follow


def _follow_closed(
    crew: Crew[_ToCount | _ToFollow, int | _Followed | None],
    logged: LoggedRun,
    closed: list[RotatedFile],
    fold: HistoryFold,
) -> None:
    counted = crew.in_order([_ToCount(_everywhere(file)) for file in closed])
    rows = {file: _require_seen(file, count) for file, count in zip(closed, counted, strict=True)}
    left = [file for file in closed if rows[file] is not None]
    while left:
        starts = list(accumulate((_number(rows[file]) for file in left), initial=fold.rows))
        kept_from = max(0, starts[-1] - logged.follower.config.window_rows)
        items = [
            _ToFollow(_everywhere(file), start, kept_from) for file, start in zip(left, starts, strict=False)
        ]
        again: list[RotatedFile] = []
        for file, outcome in zip(left, crew.in_order(items), strict=True):
            followed = _require_seen(file, outcome)
            if not isinstance(followed, _Followed):
                continue  # retention removed it
            rows[file] = followed.piece.stop - followed.piece.start
            if again or followed.piece.start != fold.rows:
                again.append(file)
            else:
                fold.add_piece(followed.piece)
                logged.skipped_lines += followed.skipped_lines
        left = again


def _number(found: object) -> int:
    return found if isinstance(found, int) else 0


def _closed_files(path: Path) -> list[RotatedFile]:
    """List the files of a log that do not grow, in its order."""
    if path.is_dir():
        return rotated_files(path)
    alone = parse_rotated(path)
    return [] if alone is None else [alone]


def _open_rest(path: Path, closed: list[RotatedFile]) -> Iterable[LogPart]:
    """Open what follows the closed files, those that were closed meanwhile included."""
    if path.is_dir():
        return walk_parts(path, LogPosition(closed[-1].last if closed else ""))
    return () if closed else walk_parts(path)


def _everywhere(file: RotatedFile) -> RotatedFile:
    """Name a file so that every node finds it."""
    return replace(file, path=file.path.absolute())


def _require_seen(file: RotatedFile, outcome: _Outcome | WorkerDied) -> _Outcome:
    """Raise `ClusterError` where a file could not be read, unless it is no longer there."""
    if isinstance(outcome, WorkerDied):
        raise ClusterError(f"{file.path}: {outcome}")
    if outcome is None and _is_here(file):
        raise ClusterError(
            f"{file.path}: a node of the cluster does not see it; the log has to be in the same place on "
            "every node, on a shared disk, say"
        )
    return outcome


def _is_here(file: RotatedFile) -> bool:
    try:
        file.open().close()
    except FileNotFoundError:
        return False
    return True
