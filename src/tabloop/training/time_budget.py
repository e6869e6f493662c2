"""What is left out when training has to end within a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tabloop.artifacts.documents.metrics import CandidateCut, TimeBudget
from tabloop.config.training import Candidate, KNeighborsCandidate, RandomForestCandidate, SVMCandidate
from tabloop.training.task import Task
from tabloop.training.timing import CandidateTime

#: No candidate is shrunk below so many rows.
LEAST_ROWS = 2_000


def expected_seconds(tasks: Sequence[Task], times: Mapping[str, CandidateTime], n_rows: int) -> list[float]:
    """Expect the seconds of each task; 0 where a candidate could not be timed."""
    expected = []
    for task in tasks:
        rows = n_rows if task.rows is None else task.rows
        time = times.get(task.name)
        expected.append(0.0 if time is None else time.task_s(task.candidate, rows, n_rows - rows))
    return expected


def wall_seconds(expected: Sequence[float], workers: int) -> float:
    """Expect the time of all tasks on some cores: their sum shared out, or the longest."""
    return max(sum(expected) / workers, max(expected, default=0.0))


def cut_to_budget(
    candidates: Mapping[str, Candidate],
    times: Mapping[str, CandidateTime],
    tasks_of: Callable[[Mapping[str, Candidate]], list[Task]],
    *,
    n_rows: int,
    workers: int,
    budget_s: float,
) -> TimeBudget:
    """Find what has to shrink or go for training to fit into its time.

    Parameters
    ----------
    candidates : mapping of str to Candidate
        The candidates by name.
    times : mapping of str to CandidateTime
        Of `time_candidates`; a candidate that could not be timed is left alone.
    tasks_of : callable
        Gives the tasks of some candidates.
    n_rows : int
        Training rows.
    workers : int
        Cores.
    budget_s : float
        Seconds to fit in.

    Returns
    -------
    budget : TimeBudget
        The budget with the cuts in the order in which they were made.

    Notes
    -----
    While too much is expected, the candidate that is expected to take longest takes half as many rows
    (`max_rows` of SVM and k nearest neighbours, `max_samples` of a forest), down to 2,000; one that cannot
    shrink any more is dropped, but never the last.
    """
    left = dict(candidates)
    cuts: dict[str, CandidateCut] = {}

    def seconds(some: Mapping[str, Candidate]) -> float:
        return wall_seconds(expected_seconds(tasks_of(some), times, n_rows), workers)

    before = seconds(left)
    while seconds(left) > budget_s:
        slowest = max(left, key=lambda name: seconds({name: left[name]}))
        cut = _half(slowest, left[slowest], n_rows)
        if cut is not None:
            left[slowest] = cut_candidate(left[slowest], cut)
        elif len(left) > 1:
            cut = CandidateCut(name=slowest)
            del left[slowest]
        else:
            break
        cuts.pop(slowest, None)
        cuts[slowest] = cut
    return TimeBudget(budget_s=budget_s, uncut_s=before, expected_s=seconds(left), cuts=tuple(cuts.values()))


def apply_cuts(candidates: Mapping[str, Candidate], cuts: Sequence[CandidateCut]) -> dict[str, Candidate]:
    """Give the candidates as a budget left them."""
    by_name = {cut.name: cut for cut in cuts}
    return {
        name: cut_candidate(candidate, by_name[name]) if name in by_name else candidate
        for name, candidate in candidates.items()
        if name not in by_name or by_name[name].setting is not None
    }


def cut_candidate(candidate: Candidate, cut: CandidateCut) -> Candidate:
    """Give a candidate with its cut."""
    return candidate.model_copy(update={str(cut.setting): cut.value})


def _half(name: str, candidate: Candidate, n_rows: int) -> CandidateCut | None:
    match candidate:
        case SVMCandidate() | KNeighborsCandidate():
            setting, now = "max_rows", candidate.max_rows
        case RandomForestCandidate():
            setting, now = "max_samples", candidate.max_samples
        case _:
            return None
    rows = min(now or n_rows, n_rows)
    if rows <= LEAST_ROWS:
        return None
    return CandidateCut(name=name, setting=setting, value=max(LEAST_ROWS, rows // 2))
