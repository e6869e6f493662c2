"""Explain a model as a whole, on a sample of the rows that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.artifacts.documents.explanation import Explanation
from tabloop.contract.contract import Contract
from tabloop.explanation.importance import REPEATS, draw_rows, measure_importances, rows_to_draw
from tabloop.explanation.partial_dependence import measure_dependence
from tabloop.inference.predictor import Predictor
from tabloop.statistics.intervals import roc_auc
from tabloop.statistics.related_features import most_related
from tabloop.statistics.row_marks import RowMarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DEPENDENCES, _DEPENDENCE_ROWS = 6, 250
# shuffling a column scores rows as wide as the table: all of very many would take the square of their number
_MOST_COLUMNS = 200


def explain_model(
    predictor: Predictor,
    model: str,
    contract: Contract,
    columns: Mapping[str, NDArray[Any]],
    y_true: NDArray[np.int8],
    *,
    seed: int,
    marks: RowMarks | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Explanation:
    """Measure importances, and the partial dependence of the most important columns.

    Of more than 200 columns those are measured that tell most about the probability.

    Parameters
    ----------
    predictor : Predictor
        The model.
    model : str
        Its file.
    contract : Contract
        Describes the columns.
    columns : mapping of str to ndarray of shape (n_rows,)
        Inputs of the graph, of the test rows.
    y_true : ndarray of int8, shape (n_rows,)
        Labels, 0 or 1; both occur.
    seed : int
        Of the draws and shuffles: the same rows give the same figures.
    marks : RowMarks, optional
        Groups and weights of the rows: figures are weighted, and intervals count groups.
    progress : callable, optional
        Told the fraction done of the importances.
    """
    numeric = {n: np.asarray(v, dtype=np.float64) for n, v in columns.items() if v.dtype != np.object_}
    texts = {n: np.unique(v, return_inverse=True)[1] for n, v in columns.items() if v.dtype == np.object_}
    names = most_related(numeric, texts, predictor.predict(columns), _MOST_COLUMNS)
    marks = marks or RowMarks()
    places = draw_rows(y_true, rows_to_draw(len(names), len(y_true)), seed=seed)
    drawn = {name: values[places] for name, values in columns.items()}
    measured = [name for name in columns if name in names]
    importances = measure_importances(
        predictor, drawn, y_true[places], measured, seed=seed, marks=marks.take(places), progress=progress
    )
    # as they come, not by class: a mean probability does depend on the share of the classes
    few = np.sort(np.random.default_rng(seed).permutation(len(y_true))[:_DEPENDENCE_ROWS])
    sample = {name: values[few] for name, values in columns.items()}
    return Explanation(
        model=model,
        test_rows=len(y_true),
        sampled_rows=len(places),
        dependence_rows=len(few),
        repeats=REPEATS,
        columns_left_out=len(columns) - len(measured),
        roc_auc=roc_auc(y_true[places], predictor.predict(drawn), marks.take(places).weights),
        importances=importances,
        dependences=tuple(
            measure_dependence(predictor, contract, sample, each.column, marks.take(few))
            for each in importances[:_DEPENDENCES]
        ),
    )
