"""The `benchmarking` section: how variants of a model are compared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictFloat, StrictInt

from tabloop.contract.section import Section


class BenchmarkingConfig(Section):
    """How variants of a model are compared, and how far a served one may be from the trained one."""

    repeated_runs: StrictInt = Field(10, ge=3, description="Timed runs of each variant and batch size.")
    batch_size: StrictInt = Field(
        256,
        ge=1,
        le=65_536,
        description="Rows at a time in the main comparison; 1, 16, 256 and 4096 are measured as well.",
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
