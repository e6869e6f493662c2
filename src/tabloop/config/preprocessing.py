"""The `preprocessing` section: what is learned before a classifier sees the rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt

from tabloop.contract.section import Section


class PreprocessingConfig(Section):
    """What is learned from the training rows before a classifier sees them."""

    numeric_imputer: Literal["median", "mean", "zero"] = Field(
        "median",
        description="What stands in for a missing number, for models that know no missing ones; trees do.",
    )
    categorical_imputer: Literal["most_frequent", "missing"] = Field(
        "most_frequent",
        description="What stands in for a missing category: the commonest, or a category of its own; "
        "trees and boosters always see one of its own.",
    )
    outlier_factor: StrictFloat | None = Field(
        None,
        gt=0,
        description="Clip numbers this many interquartile ranges beyond the quartiles; null for no clipping. "
        "Trees and boosters see numbers as they are.",
    )
    min_category_rows: StrictInt = Field(
        50, ge=1, description="Categories with fewer training rows are grouped as one."
    )
    target_encoding: tuple[str, ...] = Field(
        (),
        description="Categories that become one number, the smoothed rate of the target among their rows, "
        "learned inside each fold: for columns of thousands of values.",
    )
    missing_indicators: StrictBool = Field(
        False, description="Whether each number that may be missing gets a 0/1 column which says where it is."
    )
