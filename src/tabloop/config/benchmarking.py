"""The `benchmarking` section: how variants of a model are compared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictFloat, StrictInt

from tabloop.contract.section import Section


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
