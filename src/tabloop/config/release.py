"""The `release` section: what a run has to show before it goes live."""

from __future__ import annotations

from pydantic import Field, StrictBool, StrictFloat

from tabloop.contract.section import Section


class ReleaseConfig(Section):
    """What a run has to show before it goes live."""

    min_roc_auc: StrictFloat = Field(0.5, ge=0, le=1, description="Least ROC-AUC on the test part.")
    require_promise: StrictBool = Field(
        False,
        description="Whether a run whose promise is infeasible is always refused. Otherwise it is "
        "refused where the champion keeps its promise, unless `--allow-infeasible` is said.",
    )
    roc_auc_margin: StrictFloat = Field(
        0.01,
        ge=0,
        le=1,
        description="How much lower than the champion's the ROC-AUC of a run may be, on test rows that "
        "neither was trained on; the lower bound of the difference has to stay above. Fewer than 10 of a "
        "class prove nothing, and refuse, unless this and `brier_margin` are 1.",
    )
    brier_margin: StrictFloat = Field(
        0.01, ge=0, le=1, description="How much higher than the champion's the Brier score may be."
    )
    confidence: StrictFloat = Field(
        0.95, gt=0.5, lt=1, description="Confidence of the one-sided bounds of these differences."
    )
    expected_rows_per_s: StrictFloat = Field(
        200.0, gt=0, description="Rate of single rows at which the scoring queue has to hold."
    )
    load_test_s: StrictFloat = Field(2.0, gt=0, le=600, description="How long that is tried, in seconds.")
    max_wait_p99_ms: StrictFloat = Field(
        250.0, gt=0, description="Largest 99th percentile of a row's wait for its answer at that rate."
    )
