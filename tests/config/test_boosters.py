from __future__ import annotations

import pytest
from pydantic import ValidationError

from tabloop.config.boosters import CatBoostCandidate
from tabloop.config.training import TrainingConfig


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("max_ctr_complexity", 4, "a table of all their combinations"),
        ("grow_policy", "Lossguide", "only symmetric trees are read"),
        ("text_features", ["note"], "no model sees texts"),
    ],
)
def test_what_would_have_no_exact_graph_is_refused_before_anything_trains(
    setting: str, value: object, reason: str
) -> None:
    with pytest.raises(ValidationError, match=f"no exact graph with {setting}: .*{reason}; leave it out"):
        TrainingConfig.model_validate({"candidates": {"catboost": {setting: value}}})


def test_catboost_is_named_like_the_others() -> None:
    config = TrainingConfig.model_validate({"candidates": {"catboost": {"max_depth": 4}}})
    candidate = config.candidates["catboost"]
    assert isinstance(candidate, CatBoostCandidate)
    assert candidate.max_depth == 4
