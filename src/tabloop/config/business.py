"""The `business` section: what the decisions have to keep."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictFloat

from tabloop.contract.section import Section


class BusinessConfig(Section):
    """What the decisions have to keep."""

    target_precision: StrictFloat = Field(
        0.9, gt=0, lt=1, description="Fraction of positive decisions that have to be right."
    )
    confidence: StrictFloat = Field(0.95, gt=0.5, lt=1, description="How sure that promise has to be.")
    on_infeasible: Literal["best", "fail"] = Field(
        "best",
        description="When no threshold can promise it: take the best promise, or fail (exit code 1).",
    )
