"""The `business` section: what the decisions have to keep."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, StrictFloat, model_validator

from tabloop.contract.section import Section


class CostsConfig(Section):
    """What decisions are worth, in any one unit."""

    hit: StrictFloat = Field(ge=0, description="What a positive row that is decided positive brings.")
    false_alarm: StrictFloat = Field(gt=0, description="What a negative row that is decided positive costs.")
    miss: StrictFloat = Field(0.0, ge=0, description="What a positive row that is decided negative costs.")

    @model_validator(mode="after")
    def _require_a_reason_to_decide(self) -> Self:
        if self.hit + self.miss == 0:
            raise ValueError("got hit 0 and miss 0, expected one above 0: else no positive decision pays")
        return self


class BusinessConfig(Section):
    """What the decisions have to keep."""

    choose: Literal["precision", "recall", "capacity", "costs"] = Field(
        "precision",
        description="Which of the objectives below chooses the threshold; the others are reported beside it.",
    )
    target_precision: StrictFloat = Field(
        0.9, gt=0, lt=1, description="Fraction of positive decisions that have to be right."
    )
    target_recall: StrictFloat | None = Field(
        None, gt=0, lt=1, description="Fraction of the positive rows that have to be found."
    )
    capacity: StrictFloat | None = Field(
        None, gt=0, lt=1000, description="How many of 1,000 rows may be decided positive."
    )
    costs: CostsConfig | None = Field(
        None, description="What a hit brings, and what a false alarm and a miss cost."
    )
    confidence: StrictFloat = Field(0.95, gt=0.5, lt=1, description="How sure that promise has to be.")
    on_infeasible: Literal["best", "fail"] = Field(
        "best",
        description="When no threshold can promise it: take the best promise, or fail (exit code 1).",
    )

    @model_validator(mode="after")
    def _require_what_chooses(self) -> Self:
        name = {"recall": "target_recall", "capacity": "capacity", "costs": "costs"}.get(self.choose)
        if name is not None and getattr(self, name) is None:
            raise ValueError(f"got choose: {self.choose} without {name}, expected business.{name} to be set")
        return self
