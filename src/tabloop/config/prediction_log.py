"""The section that decides how predictions are logged."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, model_validator

from tabloop.contract.section import Section

Durability = Literal["memory", "process", "power"]


class PredictionLogConfig(Section):
    """What is kept of every answered prediction, how safely and for how long."""

    durability: Durability = Field(
        "process",
        description="What an answered prediction survives: `memory` nothing sudden, `process` a killed "
        "process, `power` a power cut.",
    )
    on_unwritable: Literal["refuse", "drop"] = Field(
        "refuse",
        description="When the log cannot be written: refuse predictions, or answer them unlogged and count.",
    )
    rotate_bytes: StrictInt = Field(
        256 << 20, ge=1 << 10, description="Size at which the file is closed and a new one begun."
    )
    rotate_hours: StrictFloat | None = Field(
        24.0, gt=0, description="Age at which the file is closed and a new one begun; null for any age."
    )
    compress: StrictBool = Field(True, description="Whether closed files are compressed (zstd).")
    keep_days: StrictFloat | None = Field(
        400.0,
        gt=0,
        description="Closed files whose last row is older are removed; null to keep them for ever. The "
        "default holds a whole year and a month, so that late outcomes still find their rows.",
    )
    keep_bytes: StrictInt | None = Field(
        None,
        ge=1 << 10,
        description="The oldest closed files are removed while all files are larger; null to keep them.",
    )
    ship: StrictBool = Field(
        False,
        description="Whether a serving machine copies closed files, and outcomes, to `artifacts.remote`, "
        "each once. Until then they are kept, however old; `keep_bytes` still holds.",
    )
    omit: tuple[str, ...] = Field((), description="Columns that are left out of the log.")
    hash: tuple[str, ...] = Field(
        (),
        description="Columns of which the log holds a keyed hash (BLAKE2b) instead of the value. The "
        "environment variable `TABLOOP_LOG_KEY` holds the key, at least 16 characters.",
    )

    @model_validator(mode="after")
    def _omitted_or_hashed(self) -> PredictionLogConfig:
        both = sorted(set(self.omit) & set(self.hash))
        if both:
            raise ValueError(f"omit and hash both name {', '.join(both)}")
        return self
