"""The list of runs: a line for each with its figures, chosen by an expression and sorted by a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tabloop.artifacts.layout import METRICS
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.run_notes import NoteBook, RunNotes
from tabloop.artifacts.store import RunStore
from tabloop.contract.formulas.evaluation import evaluate_row
from tabloop.contract.formulas.parser import ColumnKind, parse_formula
from tabloop.errors import DataError, TabloopError, suggestion

_STATES = ("open", "passed", "refused")
_FIGURES = (
    "roc_auc",
    "average_precision",
    "brier_score",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "threshold",
    "promised_precision",
)
_OTHER_NUMBERS = ("size_mb", "age_days")
_CONDITIONS = (*_STATES, "champion", "feasible")


@dataclass(frozen=True)
class RunSummary:
    """One run, in the words of the list.

    Attributes
    ----------
    run_id, state, created_at : str
        Its name, `open`, `passed` or `refused`, and when it was opened, ISO 8601 UTC.
    champion : bool
        Whether the pointer leads to it.
    best_model_name : str or None
        The winner; None, as all figures are, where the training did not finish.
    roc_auc, average_precision, brier_score, accuracy, precision, recall, f1 : float or None
        On the test rows.
    threshold, promised_precision : float or None
        Of the decisions; no precision is promised where another objective chose the threshold.
    objective : str or None
        What chose the threshold: precision, recall, capacity or costs.
    promise : str or None
        What it promises, in a clause.
    feasible : bool or None
        Whether the target of the objective can be promised.
    size_bytes : int
        What it takes on the disk.
    notes, tags : tuple of str
        What people say of it.
    path : pathlib.Path
        Its folder.
    problem : str or None
        What is wrong with it, where it cannot be read.
    """

    run_id: str
    state: str
    created_at: str
    champion: bool
    size_bytes: int
    path: Path
    notes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    best_model_name: str | None = None
    roc_auc: float | None = None
    average_precision: float | None = None
    brier_score: float | None = None
    accuracy: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    threshold: float | None = None
    promised_precision: float | None = None
    objective: str | None = None
    promise: str | None = None
    feasible: bool | None = None
    problem: str | None = None

    def number(self, name: str) -> float:
        """Give a figure as a number, NaN where it is not known."""
        if name == "size_mb":
            return self.size_bytes / 1e6
        if name == "age_days":
            age = datetime.now(UTC) - datetime.fromisoformat(self.created_at)
            return age.total_seconds() / 86_400
        value = getattr(self, name)
        return math.nan if value is None else float(value)


def summarize_runs(store: RunStore) -> list[RunSummary]:
    """Describe every run whose manifest can be read, the oldest first."""
    champion, said = store.champion_name(), NoteBook(store.model_dir).read()
    return [_summarize(run, champion, said.get(run.run_id, RunNotes())) for run in store.runs()]


def _summarize(run: RunFolder, champion: str | None, said: RunNotes) -> RunSummary:
    summary = RunSummary(
        run.run_id,
        run.state,
        run.created_at,
        run.run_id == champion,
        run.size_bytes,
        run.path,
        said.notes,
        said.tags,
    )
    if not run.has(METRICS):
        return summary
    try:
        metrics = run.metrics
    except TabloopError as error:
        return RunSummary(**(summary.__dict__ | {"problem": str(error)}))
    found = metrics.calibration
    figures = {name: getattr(metrics, name) for name in ("best_model_name", *_FIGURES[:7])}
    figures |= {name: getattr(found, name) for name in ("threshold", "promised_precision", "feasible")}
    figures |= {"objective": found.objective, "promise": found.promise.describe()}
    return RunSummary(**(summary.__dict__ | figures))


def select_runs(
    summaries: Sequence[RunSummary], where: str | None = None, sort: str | None = None
) -> list[RunSummary]:
    """Choose runs by an expression, and sort them.

    Parameters
    ----------
    summaries : sequence of RunSummary
        The runs.
    where : str, optional
        A condition in the language of row rules, such as `roc_auc > 0.95 and passed and not champion`. Its
        names are the figures, `size_mb` and `age_days`, the states, `champion`, `feasible`, and every tag.
        A comparison with a figure that is not known is false.
    sort : str, optional
        A figure, `run_id`, `state` or `best_model_name`; with a `-` before it the largest first. Runs
        without it come last.

    Raises
    ------
    FormulaError
        If the expression cannot be read; the message shows where.
    DataError
        If there is nothing of that name to sort by.

    Examples
    --------
    >>> def run(name, **figures):
    ...     return RunSummary(name, "passed", "2026-11-29T00:00:00Z", False, 10, Path(name), **figures)
    >>> all_runs = [run("a", roc_auc=0.9), run("b", roc_auc=0.97, tags=("baseline",)), run("c")]
    >>> [each.run_id for each in select_runs(all_runs, "roc_auc > 0.8", sort="-roc_auc")]
    ['b', 'a']
    >>> [each.run_id for each in select_runs(all_runs, "passed and not baseline")]
    ['a', 'c']
    """
    chosen = list(summaries)
    if where is not None:
        numbers = (*_FIGURES, *_OTHER_NUMBERS)
        tags = {tag for each in summaries for tag in each.tags} - {*numbers, *_CONDITIONS}
        kinds: dict[str, ColumnKind] = dict.fromkeys(numbers, "number")
        kinds |= dict.fromkeys((*_CONDITIONS, *sorted(tags)), "condition")
        formula = parse_formula(where, kinds, expected="condition")
        used = formula.columns
        chosen = [
            each
            for each in chosen
            if evaluate_row(formula, {name: _value(each, name, kinds[name]) for name in used})
        ]
    return chosen if sort is None else _sorted(chosen, sort)


def _value(summary: RunSummary, name: str, kind: ColumnKind) -> float | bool | None:
    if kind == "number":
        return summary.number(name)
    if name in _STATES:
        return summary.state == name
    if name in _CONDITIONS:
        value: bool | None = getattr(summary, name)
        return value
    return name in summary.tags


def _sorted(summaries: list[RunSummary], sort: str) -> list[RunSummary]:
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    texts = ("run_id", "state", "best_model_name", "created_at")
    numbers = (*_FIGURES, *_OTHER_NUMBERS)
    if name not in (*texts, *numbers):
        raise DataError(f"sort: no figure of a run is called {name}{suggestion(name, (*numbers, *texts))}")
    known = [each for each in summaries if name in _OTHER_NUMBERS or getattr(each, name) is not None]
    unknown = [each for each in summaries if each not in known]
    if name in numbers:
        return sorted(known, key=lambda each: each.number(name), reverse=descending) + unknown
    return sorted(known, key=lambda each: str(getattr(each, name)), reverse=descending) + unknown
