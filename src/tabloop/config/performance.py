"""The `monitoring.performance` section: how sure a figure has to be, and how much worse is worse."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictFloat, field_validator

from tabloop.contract.section import Section


class PerformanceConfig(Section):
    """When decisions got worse, as estimated without labels or as measured with them."""

    confidence: StrictFloat = Field(
        0.99,
        gt=0.5,
        lt=1,
        description="Confidence of the intervals of a window's figures; an alarm needs one that leaves out "
        "the reference.",
    )
    least_drop: StrictFloat = Field(
        0.05, gt=0, lt=1, description="A figure this little below the reference is no alarm."
    )
    watched: tuple[Literal["precision", "recall", "roc_auc"], ...] = Field(
        ("precision", "recall", "roc_auc"), min_length=1, description="The figures that may raise an alarm."
    )

    @field_validator("watched")
    @classmethod
    def _once(cls, watched: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(watched)) < len(watched):
            raise ValueError("names a figure twice")
        return watched
