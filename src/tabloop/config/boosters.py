"""Gradient boosting of other libraries: what each may be told."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, StrictFloat, StrictInt, model_validator

from tabloop.contract.section import Section

ClassWeight = Literal["balanced"] | None

#: Settings of CatBoost that make a model which no graph computes exactly, each with the reason.
_NO_EXACT_GRAPH = {
    "max_ctr_complexity": "statistics of combined categories take a table of all their combinations",
    "combinations_ctr": "statistics of combined categories take a table of all their combinations",
    "grow_policy": "only symmetric trees are read",
    "text_features": "no model sees texts",
    "embedding_features": "no model sees embeddings",
}


class BoosterCandidate(Section):
    """What the boosters have in common; early stopping never sees the fold that is scored."""

    n_estimators: StrictInt = Field(
        1000, ge=1, description="Most trees; without early stopping, exactly so many."
    )
    learning_rate: StrictFloat = Field(0.05, gt=0, description="Shrinkage of each tree.")
    subsample: StrictFloat = Field(
        1.0, gt=0, le=1, description="Share of the rows that each tree is fitted on."
    )
    colsample_bytree: StrictFloat = Field(
        1.0, gt=0, le=1, description="Share of the features that each tree may use."
    )
    early_stopping_rounds: StrictInt | None = Field(
        50,
        ge=1,
        description="Stop when the log loss of a part of the training rows, set aside, has not fallen for so "
        "many trees, and fit the number of trees found on all of them; null for no early stopping.",
    )
    early_stopping_fraction: StrictFloat = Field(
        0.1, gt=0, lt=1, description="Share of the training rows that is set aside to stop on."
    )
    class_weight: ClassWeight = Field(None, description="Whether classes are weighted to be equal.")


class LightGBMCandidate(BoosterCandidate):
    """LightGBM, with nulls and categories handled natively; `pip install 'tabloop[lightgbm]'`."""

    kind: Literal["lightgbm"]
    num_leaves: StrictInt = Field(31, ge=2, description="Largest number of leaves of a tree.")
    max_depth: StrictInt | None = Field(None, ge=1, description="Largest depth of a tree; null for none.")
    min_child_samples: StrictInt = Field(20, ge=1, description="Least training rows in a leaf.")
    reg_alpha: StrictFloat = Field(0.0, ge=0, description="L1 penalty on the leaves.")
    reg_lambda: StrictFloat = Field(0.0, ge=0, description="L2 penalty on the leaves.")


class XGBoostCandidate(BoosterCandidate):
    """XGBoost, with nulls and categories handled natively; `pip install 'tabloop[xgboost]'`."""

    kind: Literal["xgboost"]
    max_depth: StrictInt = Field(6, ge=1, description="Largest depth of a tree.")
    min_child_weight: StrictFloat = Field(1.0, ge=0, description="Least sum of Hessians in a leaf.")
    gamma: StrictFloat = Field(0.0, ge=0, description="Least gain of a split.")
    reg_alpha: StrictFloat = Field(0.0, ge=0, description="L1 penalty on the leaves.")
    reg_lambda: StrictFloat = Field(1.0, ge=0, description="L2 penalty on the leaves.")


class CatBoostCandidate(BoosterCandidate):
    """CatBoost, with nulls and categories handled natively; `pip install 'tabloop[catboost]'`."""

    kind: Literal["catboost"]
    subsample: StrictFloat = Field(
        0.8, gt=0, le=1, description="Share of the rows that each tree is fitted on, drawn by their weight."
    )
    max_depth: StrictInt = Field(6, ge=1, le=10, description="Depth of a tree; all are symmetric.")
    random_strength: StrictFloat = Field(
        1.0, ge=0, description="How much noise the score of a split gets, against overfitting."
    )
    one_hot_max_size: StrictInt = Field(
        2, ge=2, le=255, description="Columns of at most so many categories are split category by category."
    )
    reg_lambda: StrictFloat = Field(3.0, ge=0, description="L2 penalty on the leaves.")

    @model_validator(mode="before")
    @classmethod
    def _exact_graph(cls, data: Any) -> Any:
        refused = [name for name in _NO_EXACT_GRAPH if isinstance(data, dict) and name in data]
        if refused:
            listed = "; ".join(f"{name}: {_NO_EXACT_GRAPH[name]}" for name in refused)
            raise ValueError(f"no exact graph with {listed}; leave it out")
        return data
