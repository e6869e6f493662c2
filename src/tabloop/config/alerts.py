"""The `alerts` section: who is told of an alarm."""

from __future__ import annotations

from pydantic import Field, StrictFloat, StrictInt, model_validator

from tabloop.contract.columns import Section

_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


class AlertsConfig(Section):
    """Who is told of an alarm: a webhook, beside the log and `/metrics`."""

    url_env: str | None = Field(
        None,
        pattern=_NAME,
        description="Environment variable that holds the URL to post alarms to; null for none.",
    )
    secret_env: str = Field(
        "TABLOOP_ALERTS_SECRET",
        pattern=_NAME,
        description="Environment variable that holds the secret they are signed with, at least 16 "
        "characters, or `whsec_` and base64.",
    )
    timeout_s: StrictFloat = Field(5.0, gt=0, le=60, description="Longest wait for an answer.")
    first_retry_s: StrictFloat = Field(
        1.0, gt=0, description="Wait after the first failure; it doubles with each, give or take chance."
    )
    max_retry_s: StrictFloat = Field(300.0, gt=0, description="Longest wait between two tries.")
    keep_hours: StrictFloat = Field(
        72.0, gt=0, description="An alarm that could not be delivered for so long is given up."
    )
    max_waiting: StrictInt = Field(
        1_000, ge=1, description="Most alarms that wait for delivery; the oldest gives way."
    )

    @model_validator(mode="after")
    def _waits_grow(self) -> AlertsConfig:
        if self.max_retry_s < self.first_retry_s:
            raise ValueError(
                f"max_retry_s is {self.max_retry_s:g}, expected at least first_retry_s, "
                f"{self.first_retry_s:g}"
            )
        return self
