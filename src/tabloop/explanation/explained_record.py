"""A record, its answer, and why."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tabloop.inference.explainer import Unit


class ExplainedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Why a record got its answer: base and contributions add up to what the model gave, in their unit."""

    run_id: str
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)]
    decision: Annotated[int, msgspec.Meta(ge=0, le=1)]
    unit: Unit
    base: Annotated[float, msgspec.Meta(description="The mean over the training rows it is compared with.")]
    contributions: Annotated[dict[str, float], msgspec.Meta(description="Of each column.")]
    standard_error: Annotated[
        float, msgspec.Meta(description="Of the least certain contribution; 0 where they are exact.")
    ]
