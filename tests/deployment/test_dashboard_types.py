from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from tabloop.artifacts.documents.promise import Promise
from tabloop.deployment.dashboard_types.performance import PromiseState
from tabloop.performance.objectives import decide_objective
from tabloop.performance.promise import DecisionCounts


@pytest.mark.parametrize("objective", ["precision", "recall", "capacity"])
def test_the_dashboard_tells_the_promise_of_each_objective(
    objective: Literal["precision", "recall", "capacity"],
) -> None:
    promise = Promise(
        objective=objective, confidence=0.95, target=0.8, feasible=True, promised=0.8, bound=0.801,
        observed=0.82, threshold=0.3, predicted_positive_rows=90, true_positive_rows=82,
    )  # fmt: skip
    decided = decide_objective(promise, DecisionCounts(5000, 1000, 900, 700))
    told = msgspec.convert(decided, PromiseState, from_attributes=True)
    assert (told.objective, told.promised) == (objective, 0.8)
    assert (told.target_precision is None) == (objective != "precision")
