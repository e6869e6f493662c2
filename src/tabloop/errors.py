"""Every exception of tabloop, one tree.

::

    TabloopError
    ├── ConfigError (ValueError)             a setting is wrong or unknown
    ├── ContractError (ValueError)           columns, rules or formulas contradict each other
    │   └── FormulaError                     a formula cannot be read; knows the position
    ├── DataError (ValueError)               an input table is not what the contract says
    │   ├── QuarantineLimitError             more rows refused than the config allows
    │   ├── RecordError                      JSON records break the contract; knows every problem
    │   ├── MalformedBodyError               a body is not the JSON that was asked for
    │   │   ├── TooManyRecordsError          it holds more records than one request may
    │   │   └── NoOutcomesError              it holds no outcome
    │   └── TooFewRowsError                  nothing can be learned or measured from so few rows
    ├── MissingExtraError (ImportError)      an optional library is not installed
    ├── DatabaseError (RuntimeError)         a database cannot be reached, refuses, or broke off
    ├── StorageError (ConnectionError)       object storage does not answer, or refuses
    ├── ClusterError (ConnectionError)       a Ray cluster cannot be joined, or lacks what the work needs
    ├── TrainingError (RuntimeError)         no candidate could be trained
    ├── ExportError (RuntimeError)           a step of the model has no exact ONNX form
    ├── ReportError (RuntimeError)           a report cannot be printed
    ├── QueueFullError (RuntimeError)        more rows are waiting than may wait; try again later
    ├── ServingError (RuntimeError)          the service cannot start, or did not stop as it should
    ├── MonitorError (RuntimeError)          the monitor process cannot answer; its message says why
    │   └── MonitorUnavailableError          it is starting, or still reads the log; try again later
    ├── NotFoundError (LookupError)          the service knows nothing of the name that it was asked for
    ├── QueryError (ValueError)              the query of a request cannot be read
    ├── OperationRefusedError (RuntimeError) the service was told to do something that cannot be done now
    ├── PublishingError (ConnectionError)    a tracking server does not answer, or refuses a run
    ├── BrokerUnavailableError (ConnectionError)  a message broker does not answer
    ├── ArtifactError (RuntimeError)         a run folder is not in the state the step needs
    │   ├── ArtifactMissingError (FileNotFoundError)
    │   └── LogUnwritableError               the prediction log cannot be written now; try again later
    └── CheckFailedError (RuntimeError)      a check said no; everything worked
        ├── HashMismatchError                a file is not the file that was recorded
        ├── LogDamagedError                  the prediction log has lost or altered lines
        ├── InfeasibleError                  no threshold can keep the promise
        ├── ParityError                      a graph disagrees with the model it was made of
        ├── GateRefusedError                 a release gate refused the run
        ├── PointerMovedError                somebody else moved a pointer of the remote
        ├── MachineBusyError                 other processes leave too little to measure a run by
        ├── InvalidEventsError               too many events of a stream are invalid
        ├── NothingToJudgeError              a challenger could not be compared with the champion
        └── NotReproducedError               training again gave something else

Each message says where, what was got, what was expected and what to do next. The command line
ends with exit code 1 for `CheckFailedError` and 2 for every other `TabloopError`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


class TabloopError(Exception):
    """Something a person can mend; the message says how.

    Attributes
    ----------
    report : dict or None
        What was found before the check said no, JSON-ready; `--json` prints it with the error.
    """

    report: object = None


class ConfigError(TabloopError, ValueError):
    """One or more settings are wrong; all of them are named in one message."""


class ContractError(TabloopError, ValueError):
    """The contract's columns, rules or formulas contradict each other."""


class FormulaError(ContractError):
    """A formula cannot be read.

    Parameters
    ----------
    problem : str
        A sentence that says what is wrong and what was expected.
    formula : str
        The whole formula.
    position : int
        Zero-based offset of the offending character.
    """

    def __init__(self, problem: str, formula: str, position: int) -> None:
        self.problem = problem
        self.formula = formula
        self.position = position
        before, after = formula[:position], formula[position:]
        line = before.rpartition("\n")[2] + after.partition("\n")[0]
        caret = " " * len(before.rpartition("\n")[2]) + "^"
        super().__init__(f"{problem} (position {position + 1})\n  {line}\n  {caret}")

    def __reduce__(self) -> tuple[type[FormulaError], tuple[str, str, int]]:
        return type(self), (self.problem, self.formula, self.position)


class DataError(TabloopError, ValueError):
    """An input table as a whole is not what the contract says."""


class TooFewRowsError(DataError):
    """There are too few rows to learn or to measure anything."""


class QuarantineLimitError(DataError):
    """More rows were refused than `data.max_quarantine_fraction` allows."""


@dataclass(frozen=True)
class RecordProblem:
    """One clause of the contract that one JSON record breaks.

    Attributes
    ----------
    row : int or None
        The record's place in its list, from 0; None for a record alone.
    field : str
        The column, the unknown field or the rule's text; empty for a record that is no object.
    code : str
        `type`, `null`, `missing`, `unknown`, `duplicate`, `range`, `category`, `pattern`, `length`,
        `text` or `rule`.
    got : object
        The value, short and JSON-ready; for a rule, the values of its columns.
    expected : str
        The values that the contract asks for, in words.
    """

    row: int | None
    field: str
    code: str
    got: Any
    expected: str

    def __str__(self) -> str:
        where = " ".join(
            part for part in ("" if self.row is None else f"record {self.row}", self.field) if part
        )
        got = "nothing" if self.code == "missing" else repr(self.got)
        return f"{where or 'the record'}: got {got}, expected {self.expected}"


class RecordError(DataError):
    """JSON records break the contract.

    Parameters
    ----------
    problems : list of RecordProblem
        What is wrong, in order; cut where there is very much.
    n_problems : int, optional
        How many problems there are in all; by default as many as given.
    """

    def __init__(self, problems: list[RecordProblem], n_problems: int | None = None) -> None:
        self.problems = problems
        self.n_problems = len(problems) if n_problems is None else n_problems
        shown = [f"\n  {problem}" for problem in problems[:10]]
        more = self.n_problems - len(shown)
        tail = f"\n  and {more} more" if more > 0 else ""
        super().__init__(
            f"not what the contract says: {self.n_problems} problem{'s' * (self.n_problems != 1)}"
            f"{''.join(shown)}{tail}"
        )

    def __reduce__(self) -> tuple[type[RecordError], tuple[list[RecordProblem], int]]:
        return type(self), (self.problems, self.n_problems)


class MalformedBodyError(DataError):
    """A body is not the JSON that was asked for.

    Parameters
    ----------
    problem : str
        A sentence that says what was got and what was expected.
    position : int, optional
        Zero-based offset of the offending byte, where one is to blame.
    """

    def __init__(self, problem: str, position: int | None = None) -> None:
        self.problem = problem
        self.position = position
        super().__init__(problem if position is None else f"{problem} (byte {position})")

    def __reduce__(self) -> tuple[type[MalformedBodyError], tuple[str, int | None]]:
        return type(self), (self.problem, self.position)


class TooManyRecordsError(MalformedBodyError):
    """A body holds more records than one request may; send several."""


class NoOutcomesError(MalformedBodyError):
    """A body hands in outcomes and holds none."""


class DatabaseError(TabloopError, RuntimeError):
    """A database cannot be reached, refuses what was asked, or broke off.

    Attributes
    ----------
    passing : bool
        Whether the same may succeed a moment later: a connection that was lost, a deadlock.
    """

    passing: bool = False


class MissingExtraError(TabloopError, ImportError):
    """An optional library is not installed; the message says which command brings it."""


class StorageError(TabloopError, ConnectionError):
    """Object storage does not answer, or refuses what was asked."""


class ClusterError(TabloopError, ConnectionError):
    """A Ray cluster cannot be joined, or its nodes lack what the work needs."""


class TrainingError(TabloopError, RuntimeError):
    """No candidate could be trained."""


class ExportError(TabloopError, RuntimeError):
    """A step of the model cannot be written as ONNX; the message names the step."""


class ReportError(TabloopError, RuntimeError):
    """A report cannot be printed: there is no browser, or it does not print."""


class QueueFullError(TabloopError, RuntimeError):
    """More rows are waiting to be scored than may wait; nothing was scored, try again later."""


class ServingError(TabloopError, RuntimeError):
    """The service cannot start, or did not stop as it should."""


class MonitorError(TabloopError, RuntimeError):
    """The monitor process cannot answer a question; predictions are not affected."""


class MonitorUnavailableError(MonitorError):
    """The monitor process is not there yet, or still reads the log; try again later."""


class NotFoundError(TabloopError, LookupError):
    """The service knows nothing of the name that it was asked for."""


class QueryError(TabloopError, ValueError):
    """The query of a request cannot be read; every problem is named in one message."""


class OperationRefusedError(TabloopError, RuntimeError):
    """The service was told to do something that cannot be done now; nothing changed."""


class PublishingError(TabloopError, ConnectionError):
    """A tracking server does not answer, or refuses a run; the run itself is not affected."""


class BrokerUnavailableError(TabloopError, ConnectionError):
    """A message broker does not answer, or refuses; what was not acknowledged is still there."""


class ArtifactError(TabloopError, RuntimeError):
    """A run folder is not in the state that the step needs."""


class ArtifactMissingError(ArtifactError, FileNotFoundError):
    """A file or folder that was recorded is not there."""


class LogUnwritableError(ArtifactError):
    """The prediction log cannot be written now; nothing of the batch was kept, try again later."""


class CheckFailedError(TabloopError, RuntimeError):
    """A check said no: the program worked, the answer is no."""


class HashMismatchError(CheckFailedError):
    """A file is not the one whose hash was recorded."""


class LogDamagedError(CheckFailedError):
    """The prediction log has lost, altered or repeated lines; the message names them."""


class InfeasibleError(CheckFailedError):
    """No decision threshold can promise what the business asks for."""


class ParityError(CheckFailedError):
    """A graph disagrees with the model that it was made of."""


class GateRefusedError(CheckFailedError):
    """A release gate refused the run."""


class PointerMovedError(CheckFailedError):
    """Somebody else moved a pointer of the remote meanwhile; nothing was changed."""


class MachineBusyError(CheckFailedError):
    """Other processes take so much of the machine that what was measured says nothing about the run."""


class InvalidEventsError(CheckFailedError):
    """Too many events of a stream are invalid: something is wrong before tabloop, or with the contract."""


class NothingToJudgeError(CheckFailedError):
    """There are no rows on which a challenger could be compared with the champion."""


class NotReproducedError(CheckFailedError):
    """Training again gave other metrics or predictions than the run recorded."""


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Find the known name closest to a mistyped one.

    Parameters
    ----------
    name : str
        The name that was written.
    known : iterable of str
        The names that could have been meant.

    Returns
    -------
    nearest : str or None
        The best match, or None when nothing is similar enough to be worth suggesting.

    Examples
    --------
    >>> nearest_name("minuts_watched", ["days_on_platform", "minutes_watched"])
    'minutes_watched'
    """
    by_folded = {each.casefold(): each for each in known}
    matches = difflib.get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def suggestion(name: str, known: Sequence[str]) -> str:
    """Say what could have been meant, as the tail of an error message.

    Parameters
    ----------
    name : str
        The name that was written.
    known : sequence of str
        The names that could have been meant.

    Returns
    -------
    tail : str
        ``", did you mean X?"``, or the list of known names when none is close.

    Examples
    --------
    >>> suggestion("sqr", ["sqrt", "log1p"])
    ', did you mean sqrt?'
    """
    nearest = nearest_name(name, known)
    if nearest is not None:
        return f", did you mean {nearest}?"
    return f"; known: {', '.join(known)}" if known else ""
