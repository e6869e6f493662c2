"""Whether a graph answers as the trained pipeline does, row by row."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tabloop.artifacts.documents.graphs import ParityReport, RowDifference
from tabloop.errors import TooFewRowsError
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.optimization.parity.ties import tied_rows

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
        The contract that describes the columns.
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
