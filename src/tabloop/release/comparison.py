"""The one rule by which a run may replace the champion: proved not to be worse, within a margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.documents.gates import Gate
from tabloop.config.release import ReleaseConfig
from tabloop.statistics.intervals import roc_auc_standard_error
from tabloop.statistics.paired_bootstrap import PairedComparison

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The variance that the errors of two models share at least, assumed while there is only one model.
_SHARED_VARIANCE = 0.5
#: Fewer rows of a class say nothing about a ranking; a bootstrap of three positives proves anything.
LEAST_ROWS_A_CLASS = 10


def too_few_to_compare(positives: int, rows: int, what: str) -> str | None:
    """Say why rows are too few to compare two models on, or None where they are enough.

    Examples
    --------
    >>> too_few_to_compare(3, 45, "test rows")
    'of the 45 test rows that neither model was trained on, 3 are positive, expected at least 10'
    >>> too_few_to_compare(10, 45, "test rows")
    """
    for count, name in ((positives, "positive"), (rows - positives, "negative")):
        if count < LEAST_ROWS_A_CLASS:
            return (
                f"of the {rows:,} {what} that neither model was trained on, {count} are {name}, "
                f"expected at least {LEAST_ROWS_A_CLASS}"
            )
    return None


def judge_comparison(
    name: str,
    compared: PairedComparison,
    floors: ReleaseConfig,
    *,
    margin: float | None = None,
    as_measured: bool = False,
) -> Gate:
    """Judge a run by its paired comparison with the champion.

    Parameters
    ----------
    name : str
        The gate's.
    compared : PairedComparison
        On rows that neither was trained on, at `release.confidence`.
    floors : ReleaseConfig
        The config's `release` section.
    margin : float, optional
        How much lower the ROC-AUC may be; by default `release.roc_auc_margin`.
    as_measured : bool, default=False
        Whether it also may not be lower as measured.

    Notes
    -----
    A test of non-inferiority: the run passes when the one-sided lower bound of the difference in ROC-AUC lies
    above minus the margin, and the upper bound of that in Brier score below its margin. Rows that are too
    few to prove it refuse; the reason says how many would be needed. Where the run is within both margins as
    measured, the evidence has the margins that would do, as `margins_that_would_do`.
    """
    margin = floors.roc_auc_margin if margin is None else margin
    auc, brier = compared.roc_auc, compared.brier_score
    evidence = json_values(compared) | {
        "roc_auc_margin": margin,
        "brier_margin": floors.brier_margin,
        "may_be_lower_as_measured": not as_measured,
        "difference": auc.difference,
        "interval": [auc.low, auc.high],
    }
    problems = []
    shown = f"ROC-AUC {auc.challenger:.4f} for {auc.champion:.4f}"
    if as_measured and auc.difference < 0:
        problems.append(f"{shown}: lower than the champion's")
    if auc.low < -margin:
        problems.append(f"{shown}: may be {-auc.low:.4f} lower, {margin:g} is tolerable")
        if auc.difference > -margin and margin > 0:
            reach = auc.difference - auc.low
            # if its true difference is the measured one, or zero where it looks better
            needed = _grown(compared.positive_rows, reach, margin + min(auc.difference, 0.0))
            evidence["positives_needed"] = needed
            problems[-1] += (
                f"; {compared.positive_rows:,} positive rows prove no more, about {needed:,} would"
            )
    if brier.high > floors.brier_margin:
        problems.append(
            f"Brier score {brier.challenger:.4f} for {brier.champion:.4f}: may be {brier.high:.4f} higher, "
            f"{floors.brier_margin:g} is tolerable"
        )
    if problems and auc.difference >= -margin and brier.difference <= floors.brier_margin:
        evidence["margins_that_would_do"] = {
            "roc_auc_margin": max(margin, _rounded_up(-auc.low)),
            "brier_margin": max(floors.brier_margin, _rounded_up(brier.high)),
        }
    said = f"{shown}, Brier score {brier.challenger:.4f} for {brier.champion:.4f} on {compared.rows:,} rows"
    return Gate(name, not problems, "; ".join(problems) or said, evidence)


def next_step(compared: Gate) -> str:
    """Give the command that tolerates what the rows leave open, where the run does not look worse.

    Examples
    --------
    >>> margins = {"roc_auc_margin": 0.033, "brier_margin": 0.01}
    >>> next_step(Gate("comparison", False, "few rows", {"margins_that_would_do": margins}))
    '; if that may be lost: tabloop run --set release.roc_auc_margin=0.033 --set release.brier_margin=0.01'
    """
    margins = compared.evidence.get("margins_that_would_do")
    if margins is None:
        return "; release.roc_auc_margin and release.brier_margin say what may be lost"
    words = " ".join(f"--set release.{name}={value}" for name, value in margins.items())
    return f"; if that may be lost: tabloop run {words}"


def foresee_comparison(
    y_true: NDArray[np.int8],
    y_proba: NDArray[np.float64],
    floors: ReleaseConfig,
    *,
    fresh_rows: int,
    fresh_margin: float,
) -> dict[str, Any]:
    """Say at the first release how many positives later comparisons will need.

    Parameters
    ----------
    y_true : ndarray of shape (n_rows,)
        Targets of the test rows; both occur.
    y_proba : ndarray of float64, shape (n_rows,)
        The run's probabilities for the rows.
    floors : ReleaseConfig
        The config's `release` section.
    fresh_rows, fresh_margin : int, float
        The config's `retraining.fresh_rows` and `fresh_margin`.

    Returns
    -------
    foreseen : dict
        JSON-ready: for the test rows and for the fresh rows of a retraining the `positives` at hand, those
        `needed`, and whether that is `enough`; `said` puts into words what is not.

    Notes
    -----
    With the standard error `s` of this run's ROC-AUC on `m` positives, the difference of two equally good
    models that share half of their variance has the standard error `s`. Its one-sided bound reaches the
    margin `d` with :math:`m (z s / d)^2` positives. Models of one family share more and need fewer.
    """
    positives = int(y_true.sum())
    reach = _z(floors.confidence) * np.sqrt(2.0 * (1.0 - _SHARED_VARIANCE))
    reach *= roc_auc_standard_error(y_true, y_proba)
    at_hand = {"test": positives, "fresh": round(fresh_rows * positives / len(y_true))}
    margins = {"test": floors.roc_auc_margin, "fresh": fresh_margin}
    foreseen: dict[str, Any] = {}
    problems = []
    for rows, words in (
        ("test", "test rows hold {at:,} positives, a comparison with a later run will need about {needed:,}, "
         "or a release.roc_auc_margin of {provable:.3f}"),
        ("fresh", "retraining.fresh_rows = {fresh:,} rows hold about {at:,} positives, a retraining will "
         "need about {needed:,} among them, in about {more:,} rows, or a retraining.fresh_margin of "
         "{provable:.3f}"),
    ):  # fmt: skip
        at, margin = at_hand[rows], margins[rows]
        needed = _grown(positives, reach, margin) if margin > 0 else None
        enough = needed is not None and at >= needed
        foreseen[rows] = {"positives": at, "needed": needed, "enough": enough, "roc_auc_margin": margin}
        if needed is not None and not enough:
            more = round(needed * len(y_true) / positives)
            provable = _rounded_up(reach * np.sqrt(positives / max(at, 1)))
            values = {"at": at, "needed": needed, "fresh": fresh_rows, "more": more, "provable": provable}
            problems.append(words.format(**values))
    return foreseen | {"said": "; ".join(problems)}


def _grown(positives: int, reach: float, margin: float) -> int:
    """Count the positives with which a bound that reaches so far on these would reach the margin only."""
    return max(LEAST_ROWS_A_CLASS, int(np.ceil(positives * (reach / margin) ** 2)))


def _rounded_up(margin: float) -> float:
    """Round a margin up to thousandths, as it is written into a config.

    Examples
    --------
    >>> _rounded_up(0.0321), _rounded_up(1.7)
    (0.033, 1.0)
    """
    return min(1.0, float(np.ceil(margin * 1000)) / 1000)


def _z(confidence: float) -> float:
    return float(ndtri(confidence))
