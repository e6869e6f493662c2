"""The sections that decide what is kept, compared, served and let out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt

from tabloop.config.path_setting import PathSetting
from tabloop.contract.columns import Section


class ArtifactsConfig(Section):
    """Where runs are kept."""

    model_dir: PathSetting = Field(
        "artifacts", min_length=1, description="The artifact folder, relative to the config's folder."
    )
    keep_runs: StrictInt = Field(
        20,
        ge=1,
        description="Sealed runs that are kept, the newest; a release removes older ones with their reports. "
        "The champion and the five champions before it stay beside them, and so do open runs.",
    )


class BenchmarkingConfig(Section):
    """How variants of a model are compared, and how far a served one may be from the trained one."""

    repeated_runs: StrictInt = Field(10, ge=3, description="Timed runs of each variant and batch size.")
    batch_size: StrictInt = Field(256, ge=1, le=65_536, description="Rows at a time in the main comparison.")
    batch_sizes: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(
        (1, 16, 256, 4096), min_length=1, description="Rows at a time in the full comparison."
    )
    in_run: Literal["quick", "full", "none"] = Field(
        "quick", description="How `tabloop run` benchmarks; `tabloop benchmark` does so at any time."
    )
    parity_abs_tolerance: StrictFloat = Field(
        0.04, ge=0, description="Largest difference of one probability from the trained model's."
    )
    parity_mean_tolerance: StrictFloat = Field(
        0.01, ge=0, description="Largest mean difference of the probabilities from the trained model's."
    )


class ReleaseConfig(Section):
    """What a run has to show before it goes live."""

    min_roc_auc: StrictFloat = Field(0.5, ge=0, le=1, description="Least ROC-AUC on the test part.")
    require_promise: StrictBool = Field(
        False,
        description="Whether a run whose precision promise is infeasible is always refused. Otherwise it is "
        "refused where the champion keeps its promise, unless `--allow-infeasible` is said.",
    )
    roc_auc_margin: StrictFloat = Field(
        0.01,
        ge=0,
        le=1,
        description="How much lower than the champion's the ROC-AUC of a run may be, on test rows that "
        "neither was trained on; the lower bound of the difference has to stay above.",
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
