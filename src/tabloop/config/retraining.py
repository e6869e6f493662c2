"""The `retraining` section: what asks for a new model, what it learns from, what it has to show."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, model_validator

from tabloop.contract.section import Section


class RetrainingTriggersConfig(Section):
    """What asks for a new model; each can be switched off."""

    drift_rule: StrictBool = Field(True, description="The z-score rule calls drift of the features.")
    prediction_shift: StrictBool = Field(
        True, description="The z-score rule calls a shift of the predicted positive rate."
    )
    windowed_drift: StrictBool = Field(True, description="The windowed tests alarm.")
    estimated_performance: StrictBool = Field(
        True, description="Precision, recall or ROC-AUC, estimated without labels, got worse."
    )
    realized_performance: StrictBool = Field(
        True, description="Precision, recall or ROC-AUC, measured on the outcomes, got worse."
    )
    promise: StrictBool = Field(True, description="Outcomes refute the precision that was promised.")
    max_age_days: StrictFloat | None = Field(
        None, gt=0, description="The champion was trained longer ago than this; null for never."
    )
    new_labels: StrictInt | None = Field(
        None, ge=1, description="So many new labels have matured; null for never."
    )


class RetrainingConfig(Section):
    """What asks for a new model, what it learns from, what it has to show."""

    triggers: RetrainingTriggersConfig = Field(
        default_factory=lambda: RetrainingTriggersConfig.model_validate({}),
        description="What asks for a new model.",
    )
    confirm_windows: StrictInt = Field(
        2,
        ge=1,
        le=100,
        description="Consecutive windows in which a trigger has to hold before it fires, and to be quiet "
        "before it is off again. The z-score rule looks at many windows together and fires at once.",
    )
    cooldown_hours: StrictFloat = Field(
        24.0, ge=0, description="Least time between two triggered retrainings, refused ones included."
    )
    min_new_labels: StrictInt = Field(
        1_000, ge=2, description="Least new matured labels for a triggered retraining."
    )
    min_new_positives: StrictInt = Field(
        50, ge=1, description="Least positives among them for a triggered retraining."
    )
    data: Literal["append", "replace", "window"] = Field(
        "append",
        description="What is learned from: the reference data and all rows with a matured outcome, those "
        "rows alone, or the reference data and the latest `window_rows` of them.",
    )
    window_rows: StrictInt = Field(
        50_000, ge=1, description="The latest rows with an outcome that `window` takes."
    )
    maturity_hours: StrictFloat = Field(
        0.0,
        ge=0,
        description="Younger predictions are not learned from. Set it to the time by which the outcomes of "
        "both classes are known, if one class is known sooner.",
    )
    fresh_rows: StrictInt = Field(
        500,
        ge=1,
        description="The latest labelled rows: kept out of training, to compare champion and challenger on.",
    )
    fresh_margin: StrictFloat = Field(
        0.02,
        ge=0,
        le=1,
        description="How much lower the challenger's ROC-AUC may be on the fresh rows, where it may not be "
        "lower as measured; on the frozen test rows `release.roc_auc_margin` holds.",
    )
    max_changed_fraction: StrictFloat = Field(
        0.5,
        gt=0,
        le=1,
        description="Largest fraction of those decisions that a challenger may change.",
    )

    @model_validator(mode="after")
    def _something_is_left_to_learn_from(self) -> RetrainingConfig:
        if self.min_new_labels <= self.fresh_rows:
            raise ValueError(
                f"min_new_labels is {self.min_new_labels}, expected more than fresh_rows, "
                f"{self.fresh_rows}, which are not learned from"
            )
        return self
