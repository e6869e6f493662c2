"""Take a file of late outcomes into the store of outcomes: checked first, then written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tabloop.artifacts.documents.document import json_values
from tabloop.config.data import DataConfig
from tabloop.data.quarantine import QuarantineFile, exceeds_limit, require_few_refused
from tabloop.errors import TooFewRowsError
from tabloop.outcomes.file import read_outcomes
from tabloop.outcomes.outcome import (
    FindPredictions,
    OutcomeBatch,
    OutcomeParser,
    RefusedOutcome,
    check_outcomes,
)
from tabloop.outcomes.store import OutcomeCount, OutcomeStore

#: Refused rows that are told one by one; all of them are counted, and written to a quarantine file.
LISTED_ROWS = 100


@dataclass
class ImportReport:
    """What became of a file of outcomes.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    rows_read, rows_refused : int
        Rows.
    refused_reasons : dict of str to int
        Refused rows by reason.
    refused : list of RefusedOutcome
        The first `LISTED_ROWS` of them.
    pending_rows : int
        Rows whose outcome is blank, or one of `data.target.null_values`: it is not known yet.
    ids_checked : bool
        Whether ids were looked up in the prediction log.
    count : OutcomeCount
        What was taken; nothing where too many rows were refused.
    """

    path: Path
    rows_read: int = 0
    rows_refused: int = 0
    refused_reasons: dict[str, int] = field(default_factory=dict)
    refused: list[RefusedOutcome] = field(default_factory=list)
    pending_rows: int = 0
    ids_checked: bool = False
    count: OutcomeCount = field(default_factory=OutcomeCount)

    def to_dict(self) -> dict[str, object]:
        """Describe the report as plain JSON values."""
        return {
            "path": str(self.path),
            "read": self.rows_read,
            "new": self.count.new,
            "corrections": self.count.corrections,
            "duplicates": self.count.duplicates,
            "pending": self.pending_rows,
            "refused": self.rows_refused,
            "refused_reasons": dict(self.refused_reasons),
            "refused_rows": [json_values(each) for each in self.refused],
            "ids_checked": self.ids_checked,
        }


def import_outcomes(
    store: OutcomeStore,
    config: DataConfig,
    path: Path,
    *,
    find: FindPredictions | None = None,
    quarantine_file: BinaryIO | None = None,
    progress: Callable[[str], None] | None = None,
) -> ImportReport:
    """Import a file of outcomes, or nothing of it when too much of it is wrong.

    The file is read twice: the first time to judge it, the second to write. Importing it again changes
    nothing; after a crash that is the way to finish.

    Parameters
    ----------
    store : OutcomeStore
        The store that takes the outcomes.
    config : DataConfig
        The config's `data` section: the target's values, how CSV is written, how many rows may be refused.
    path : pathlib.Path
        The file, as `read_outcomes` takes it.
    find : callable, optional
        Looks predictions up in the log. An id that no log holds is refused: nothing could be learned
        of it. Without it ids are not looked up.
    quarantine_file : binary file, optional
        Where refused rows go, one JSON line each.
    progress : callable, optional
        Told what is being done.

    Returns
    -------
    report : ImportReport
        Where more than `max_quarantine_fraction` of the rows were refused nothing was taken; see
        `require_few_outcomes_refused`.

    Raises
    ------
    DataError
        If the file cannot be read.
    TooFewRowsError
        If it holds no row.
    """
    report = ImportReport(path, ids_checked=find is not None)
    told = progress or (lambda _: None)
    told(f"checking {path}")
    quarantine = QuarantineFile(quarantine_file, config.limits)
    for checked in _checked(path, config, find):
        refused = checked.batch.refused
        report.rows_read += len(checked.batch.accepted) + checked.pending_rows
        report.rows_read += len(refused) + checked.more_malformed_rows
        report.pending_rows += checked.pending_rows
        report.rows_refused += len(refused) + checked.more_malformed_rows
        reasons = Counter(each.reason for each in refused)
        reasons["malformed"] += checked.more_malformed_rows
        for reason, count in reasons.items():
            if count:
                report.refused_reasons[reason] = report.refused_reasons.get(reason, 0) + count
        for each in refused:
            quarantine.write(json_values(each))
        report.refused += refused[: LISTED_ROWS - len(report.refused)]
    if not report.rows_read:
        raise TooFewRowsError(f"{path}: no outcome in it")
    if exceeds_limit(report.rows_refused, report.rows_read, config):
        return report
    told(f"writing {store.path}")
    for checked in _checked(path, config, find):
        report.count += store.append(checked.batch.accepted, source=path.name)
    return report


def require_few_outcomes_refused(report: ImportReport, config: DataConfig) -> None:
    """Raise `QuarantineLimitError` when so many rows were refused that nothing was taken."""
    require_few_refused(
        str(report.path), report.rows_refused, report.rows_read, config,
        described=describe_refused(report), then="Nothing was taken.",
    )  # fmt: skip


def describe_refused(report: ImportReport) -> str:
    """Say why rows were refused: the counts, then the rows."""
    lines = [
        f"  {reason}: {rows:,} {'row' if rows == 1 else 'rows'}"
        for reason, rows in sorted(report.refused_reasons.items(), key=lambda item: -item[1])
    ]
    lines += [f"    row {refused.row}: {refused.problem}" for refused in report.refused]
    if report.rows_refused > len(report.refused):
        lines.append(f"    and {report.rows_refused - len(report.refused):,} more; --quarantine lists all")
    return "\n".join(lines)


@dataclass(frozen=True)
class _Checked:
    """Some rows of the file: those with an outcome, how many have none yet, how many more are malformed."""

    batch: OutcomeBatch
    pending_rows: int
    more_malformed_rows: int


def _checked(path: Path, config: DataConfig, find: FindPredictions | None) -> Iterator[_Checked]:
    parser = OutcomeParser(config.target)
    for raw in read_outcomes(path, config):
        matured = [row for row in raw.rows if row[1] is None or not config.target.is_null(row[2])]
        batch = check_outcomes(matured, parser, find)
        batch.refused.extend(raw.malformed)
        batch.refused.sort(key=lambda refused: refused.row)
        yield _Checked(batch, len(raw.rows) - len(matured), raw.malformed_rows - len(raw.malformed))
