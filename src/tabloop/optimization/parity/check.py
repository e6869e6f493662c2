"""Whether a graph answers as the trained pipeline does, row by row."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tabloop.errors import TooFewRowsError
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.optimization.parity.probes import tied_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from numpy.typing import NDArray

    from tabloop.contract.contract import Contract

#: What the exact export is held to, whatever the config tolerates of a quantised model.
EXACT_TOLERANCE = 2e-6

_LISTED_ROWS = 5


class Scorer(Protocol):
    """What is compared: a `tabloop.inference.predictor.Predictor`, or anything that predicts as it does."""

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Give the positive probability of each row."""


@dataclass(frozen=True)
class RowDifference:
    """One row and both of its probabilities.

    Attributes
    ----------
    row : int
        Its place among the checked rows, from 0.
    values : dict of str to object
        Its raw columns as JSON values.
    trained_probability, graph_probability : float or str
        By the pipeline and by the graph; a text where it is no finite number.
    decision_flipped : bool
        Whether the two lie on different sides of the threshold.
    """

    row: int
    values: dict[str, Any]
    trained_probability: float | str
    graph_probability: float | str
    decision_flipped: bool


@dataclass(frozen=True)
class ParityReport:
    """How far a graph is from the pipeline that it was made of.

    Attributes
    ----------
    samples : int
        Rows checked.
    max_abs_diff, mean_abs_diff : float
        Of the probabilities, without excused rows. A probability that is not a number within [0, 1]
        counts as a difference of 1, the largest there is.
    decision_flips : int
        Rows decided differently, without excused ones.
    invalid_probabilities : int
        Rows whose probability, by either side, is not a number within [0, 1].
    abs_tol, mean_tol : float
        What was tolerated.
    allow_flips : bool
        Whether flipped decisions were tolerated.
    threshold : float
        Rows are decided positive from this probability on.
    excused_ties : int
        Rows over a tolerance or flipped whose answer is decided by rounding alone; see
        `tabloop.optimization.parity.probes.tied_rows`.
    passed : bool
        Whether all of this is tolerable.
    worst_rows : tuple of RowDifference
        Up to five rows that differ, flipped and most different first.
    excused_rows : tuple of RowDifference
        Up to five of the excused ones.
    """

    samples: int
    max_abs_diff: float
    mean_abs_diff: float
    decision_flips: int
    invalid_probabilities: int
    abs_tol: float
    mean_tol: float
    allow_flips: bool
    threshold: float
    excused_ties: int
    passed: bool
    worst_rows: tuple[RowDifference, ...]
    excused_rows: tuple[RowDifference, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Describe the report as plain JSON values, without NaN or infinity."""
        described = asdict(self)
        for name in ("worst_rows", "excused_rows"):
            described[name] = list(described[name])
        return described


def check_parity(
    pipeline: Any,
    predictor: Scorer,
    contract: Contract,
    rows: pl.DataFrame,
    *,
    threshold: float,
    abs_tolerance: float,
    mean_tolerance: float,
    allow_flips: bool = False,
) -> ParityReport:
    """Compare a graph with the pipeline that it was made of.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted, from raw columns to probabilities.
    predictor : Scorer
        The graph in its session.
    contract : Contract
        What the columns are.
    rows : polars.DataFrame with n_rows rows
        Typed raw columns; further ones are ignored.
    threshold : float
        The decision threshold.
    abs_tolerance, mean_tolerance : float
        Largest tolerable difference of one probability, and of their mean. The exact export is held to
        `EXACT_TOLERANCE` in both.
    allow_flips : bool, default=False
        Whether decisions may differ.

    Returns
    -------
    report : ParityReport

    Raises
    ------
    TooFewRowsError
        If there are no rows: nothing checked is nothing passed.

    Notes
    -----
    k nearest neighbours have no exact answer where two neighbours are equally far: such rows are excused
    where they differ, but never more than half of all rows.

    Examples
    --------
    >>> import polars as pl
    >>> from tabloop.contract.contract import Contract
    >>> contract = Contract.from_dict({"columns": {"days": {"type": "integer"}},
    ...                                "target": {"name": "bought"}})
    >>> class Half:
    ...     def predict_proba(self, rows): return np.full((rows.height, 2), 0.5)
    ...     def predict(self, columns): return np.full(len(columns["days"]), 0.6)
    >>> report = check_parity(Half(), Half(), contract, pl.DataFrame({"days": [3]}),
    ...                       threshold=0.55, abs_tolerance=0.2, mean_tolerance=0.2)
    >>> report.passed, report.decision_flips, report.worst_rows[0].values
    (False, 1, {'days': 3})
    """
    if rows.height == 0:
        raise TooFewRowsError("parity: got no rows, expected at least one")
    trained = np.asarray(pipeline.predict_proba(rows)[:, 1], dtype=np.float64)
    answered = np.asarray(predictor.predict(columns_of_frame(contract, rows)), dtype=np.float64)
    if answered.shape != trained.shape:
        raise ValueError(f"parity: got {answered.shape} probabilities for {rows.height} rows")
    invalid = ~(_is_probability(trained) & _is_probability(answered))
    with np.errstate(invalid="ignore"):  # inf - inf
        differences = np.where(invalid, 1.0, np.abs(answered - trained))
    flipped = (answered >= threshold) != (trained >= threshold)

    suspects = (flipped | (differences > min(abs_tolerance, EXACT_TOLERANCE))) & ~invalid
    excused = np.zeros(rows.height, dtype=np.bool_)
    if suspects.any():  # ties are costly to find, and excuse nothing where nothing differs
        places = np.flatnonzero(suspects)
        excused[places] = _tied(pipeline, rows[places])
    judged = ~excused
    max_abs_diff = float(differences[judged].max(initial=0.0))
    mean_abs_diff = float(differences[judged].mean()) if judged.any() else 0.0
    flips = int((flipped & judged).sum())
    passed = (
        not invalid.any()
        and max_abs_diff <= abs_tolerance
        and mean_abs_diff <= mean_tolerance
        and (allow_flips or flips == 0)
        and 2 * int(excused.sum()) <= rows.height
    )

    def listed(which: NDArray[np.bool_]) -> tuple[RowDifference, ...]:
        order = np.lexsort((-differences, ~flipped, ~invalid))
        kept = [int(place) for place in order if which[place]][:_LISTED_ROWS]
        return tuple(
            RowDifference(
                row=place,
                values={name: _jsonable(rows[name][place]) for name in contract.columns},
                trained_probability=_finite(trained[place]),
                graph_probability=_finite(answered[place]),
                decision_flipped=bool(flipped[place]),
            )
            for place in kept
        )

    return ParityReport(
        samples=rows.height,
        max_abs_diff=max_abs_diff,
        mean_abs_diff=mean_abs_diff,
        decision_flips=flips,
        invalid_probabilities=int(invalid.sum()),
        abs_tol=abs_tolerance,
        mean_tol=mean_tolerance,
        allow_flips=allow_flips,
        threshold=threshold,
        excused_ties=int(excused.sum()),
        passed=bool(passed),
        worst_rows=listed(judged & (invalid | flipped | (differences > 0))),
        excused_rows=listed(excused),
    )


def _tied(pipeline: Any, rows: pl.DataFrame) -> NDArray[np.bool_]:
    if not hasattr(pipeline, "steps"):
        return np.zeros(rows.height, dtype=np.bool_)
    return tied_rows(pipeline, rows)


def _is_probability(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    # false for NaN; a sum in floating point may end a few units beyond 1
    return np.asarray((values >= -1e-9) & (values <= 1 + 1e-9))


def _finite(value: float) -> float | str:
    return float(value) if np.isfinite(value) else str(float(value))


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
