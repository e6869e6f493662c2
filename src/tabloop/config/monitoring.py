"""The section that decides when served rows no longer look like the training rows."""

from __future__ import annotations

from pydantic import Field, StrictFloat, StrictInt, model_validator

from tabloop.config.performance import PerformanceConfig
from tabloop.contract.section import Section


class MonitoringConfig(Section):
    """When served rows no longer look like the training rows."""

    drift_min_samples: StrictInt = Field(50, ge=1, description="Least predictions before anything is said.")
    drift_zscore_threshold: StrictFloat = Field(
        3.0, gt=0, description="A feature drifts when its mean moved this many training standard deviations."
    )
    drift_min_features: StrictInt = Field(2, ge=1, description="Drift is called at this many features.")
    class_rate_shift_threshold: StrictFloat = Field(
        0.1, gt=0, le=1, description="Largest distance of the predicted positive rate from the training one."
    )
    window_rows: StrictInt = Field(
        10_000, ge=1, le=10_000_000, description="The latest predictions that are looked at."
    )
    reference_rows: StrictInt = Field(
        20_000, ge=100, le=1_000_000, description="Most training rows that a run keeps to compare with."
    )
    test_window_rows: StrictInt = Field(
        1_000,
        ge=10,
        le=1_000_000,
        description="Predictions in each of the consecutive windows on which the windowed tests decide.",
    )
    false_alarms_per_1000_windows: StrictFloat = Field(
        10.0,
        ge=1,
        le=200,
        description="How many of a thousand quiet windows may alarm, over all windowed tests together.",
    )
    least_effect: StrictFloat = Field(
        0.1,
        ge=0,
        le=10,
        description="Least shift, in standard deviations of the training rows, that is worth an alarm.",
    )
    max_refused_fraction: StrictFloat = Field(
        0.05,
        ge=0,
        lt=1,
        description="An alarm when proved more of the records asked about break the contract.",
    )
    silent_after_s: StrictFloat = Field(
        300.0,
        gt=0,
        description="With `monitor --fleet`: a machine that said nothing for so long is not waited for.",
    )
    segments: tuple[str, ...] = Field(
        (), description="Category columns whose values are also watched each on its own."
    )

    performance: PerformanceConfig = Field(
        default_factory=lambda: PerformanceConfig.model_validate({}),
        description="When decisions got worse.",
    )

    @model_validator(mode="after")
    def _windows_hold_enough(self) -> MonitoringConfig:
        if self.test_window_rows < self.drift_min_samples:
            raise ValueError(
                f"test_window_rows is {self.test_window_rows}, expected at least drift_min_samples, "
                f"{self.drift_min_samples}"
            )
        if len(set(self.segments)) < len(self.segments):
            raise ValueError("segments names a column twice")
        return self
