"""How long candidates will take, from timed fits on two small samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tabloop.config.training import Candidate, KNeighborsCandidate, RandomForestCandidate, SVMCandidate
from tabloop.training.row_sample import max_rows_of
from tabloop.training.task import Task, TaskOutcome

#: On fewer training rows nothing is timed unless a budget asks for it: training takes seconds.
LEAST_ROWS_TIMED = 10_000

_LARGER_SAMPLE = 4_000
_TIMED_TREES = 20

RunTasks = Callable[[list[Task]], list[TaskOutcome]]


@dataclass(frozen=True)
class TimedFit:
    """One fit on a small sample, and the scoring of that sample.

    Attributes
    ----------
    rows : int
        Rows of the sample.
    fit_s, score_s : float
        Wall seconds.
    """

    rows: int
    fit_s: float
    score_s: float


@dataclass(frozen=True)
class CandidateTime:
    """What two timed fits say about a candidate.

    Attributes
    ----------
    small, large : TimedFit
        Of two samples; what both took alike does not grow with the rows.
    trees_fraction : float
        The part of a forest's trees that was timed; 1 for other kinds.
    """

    small: TimedFit
    large: TimedFit
    trees_fraction: float = 1.0

    def task_s(self, candidate: Candidate, rows: int, scored_rows: int) -> float:
        """Expect the seconds of a fit on some rows and of the scoring of others.

        Notes
        -----
        A fit of an SVM grows with the square of its rows, one of trees with n log n, others in
        proportion. A row that is scored costs the same whatever was fitted, but for SVM and k nearest
        neighbours, where it costs as much more as there are more rows fitted.

        Examples
        --------
        >>> timed = CandidateTime(TimedFit(1_000, 0.2, 0.0), TimedFit(4_000, 1.7, 0.0))
        >>> round(timed.task_s(SVMCandidate(kind="svm", max_rows=None), 40_000, 0))
        160
        >>> round(timed.task_s(SVMCandidate(kind="svm", max_rows=4_000), 40_000, 0), 1)
        1.7
        """
        most = max_rows_of(candidate)
        fitted = rows if most is None else min(rows, most)
        if isinstance(candidate, RandomForestCandidate) and candidate.max_samples is not None:
            fitted = min(fitted, candidate.max_samples)
        fit_s = self._grown(candidate, fitted) / self.trees_fraction
        a_row = self.large.score_s / self.large.rows / self.trees_fraction
        if isinstance(candidate, SVMCandidate | KNeighborsCandidate):
            a_row *= fitted / self.large.rows
        return fit_s + a_row * scored_rows

    def _grown(self, candidate: Candidate, rows: int) -> float:
        small, large, wanted = (_growth(candidate, n) for n in (self.small.rows, self.large.rows, rows))
        slope = (self.large.fit_s - self.small.fit_s) / (large - small)
        always = self.small.fit_s - slope * small
        # noise, or the time grows faster than that: the larger sample alone decides
        if slope <= 0 or always < 0:
            return self.large.fit_s * wanted / large
        return always + slope * wanted


def _growth(candidate: Candidate, rows: int) -> float:
    match candidate:
        case SVMCandidate():
            return float(rows) ** 2
        case RandomForestCandidate():
            return rows * math.log2(rows)
        case _:
            return float(rows)


def time_candidates(
    candidates: Mapping[str, Candidate], n_rows: int, run: RunTasks
) -> dict[str, CandidateTime]:
    """Time a fit of each candidate on two small samples; one that fails there is left out.

    Parameters
    ----------
    candidates : mapping of str to Candidate
        The candidates by name.
    n_rows : int
        Training rows.
    run : callable
        Runs tasks.
    """
    large = max(200, min(_LARGER_SAMPLE, n_rows // 2))
    tasks = [
        Task(name, timed_candidate(candidate), None, timed_rows=rows)
        for name, candidate in candidates.items()
        for rows in (large // 4, large)
    ]
    timed: dict[str, list[TimedFit]] = {}
    for outcome in run(tasks):
        if outcome.failure is None and outcome.task.timed_rows is not None:
            fit = TimedFit(outcome.task.timed_rows, outcome.fit_s, outcome.score_s)
            timed.setdefault(outcome.task.name, []).append(fit)
    return {
        name: CandidateTime(fits[0], fits[1], _trees_fraction(candidates[name]))
        for name, fits in timed.items()
        if len(fits) == 2
    }


def timed_candidate(candidate: Candidate) -> Candidate:
    """Give what is timed in place of a candidate: a forest of a few trees."""
    if not isinstance(candidate, RandomForestCandidate):
        return candidate
    return candidate.model_copy(update={"n_estimators": min(_TIMED_TREES, candidate.n_estimators)})


def _trees_fraction(candidate: Candidate) -> float:
    if not isinstance(candidate, RandomForestCandidate):
        return 1.0
    return min(_TIMED_TREES, candidate.n_estimators) / candidate.n_estimators
