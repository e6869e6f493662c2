"""Explain a model as a whole, on a sample of the rows that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.artifacts.documents.explanation import Explanation
from tabloop.contract.contract import Contract
from tabloop.explanation.importance import REPEATS, draw_rows, measure_importances, rows_to_draw
from tabloop.explanation.partial_dependence import measure_dependence
from tabloop.inference.predictor import Predictor
from tabloop.statistics.intervals import roc_auc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DEPENDENCES, _DEPENDENCE_ROWS = 6, 250


def explain_model(
    predictor: Predictor,
    model: str,
    contract: Contract,
    columns: Mapping[str, NDArray[Any]],
    y_true: NDArray[np.int8],
    *,
    seed: int,
) -> Explanation:
    """Measure importances, and the partial dependence of the most important columns.

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
        Labels, both there.
    seed : int
        Of the draws and shuffles: the same rows give the same figures.
    """
    places = draw_rows(y_true, rows_to_draw(len(columns), len(y_true)), seed=seed)
    drawn = {name: values[places] for name, values in columns.items()}
    importances = measure_importances(predictor, drawn, y_true[places], seed=seed)
    # as they come, not by class: a mean probability does depend on the share of the classes
    few = np.sort(np.random.default_rng(seed).permutation(len(y_true))[:_DEPENDENCE_ROWS])
    sample = {name: values[few] for name, values in columns.items()}
    return Explanation(
        model=model,
        test_rows=len(y_true),
        sampled_rows=len(places),
        dependence_rows=len(few),
        repeats=REPEATS,
        roc_auc=roc_auc(y_true[places], predictor.predict(drawn)),
        importances=importances,
        dependences=tuple(
            measure_dependence(predictor, contract, sample, each.column)
            for each in importances[:_DEPENDENCES]
        ),
    )
