"""The `cv` section: cross-validation."""

from __future__ import annotations

from pydantic import Field, StrictInt

from tabloop.contract.section import Section


class CvConfig(Section):
    """Stratified k-fold cross-validation."""

    n_splits: StrictInt = Field(5, ge=2, le=50, description="Number of folds.")
