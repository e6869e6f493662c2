"""A group of settings, the base of everything that `config.yaml` holds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A closed, frozen group of settings: an unknown key is an error, a value cannot change later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)
