"""The `serving` section: which graph answers, what a request may be, who may ask."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, model_validator

from tabloop.config.path_setting import PathSetting
from tabloop.contract.section import Section


class ServingConfig(Section):
    """Which graph answers, what a request may be, who may ask."""

    model: Literal["fp32", "int8"] = Field(
        "fp32",
        description="The graph that is served: the exact one, or the 8-bit one where `quantize` finds "
        "it smaller or faster and within the tolerances.",
    )
    model_name: str | None = Field(
        None,
        pattern="^[A-Za-z0-9._-]{1,64}$",
        description="The name under `/v2/models`; left out, it is the target's prediction name.",
    )
    max_batch_rows: StrictInt = Field(256, ge=1, description="Most rows scored at once.")
    max_queue_rows: StrictInt = Field(4096, ge=1, description="Most rows that may wait; more are refused.")
    max_records: StrictInt = Field(2000, ge=1, description="Most records in one `/batch_predict`.")
    max_body_bytes: StrictInt = Field(
        2_097_152, ge=1024, description="Largest body of a request; a larger one is refused unread."
    )
    receive_timeout_s: StrictFloat = Field(
        10.0,
        gt=0,
        le=600,
        description="How long a request may take to arrive, from its first byte to its last, and how long "
        "an answer may lie unread.",
    )
    keep_alive_s: StrictInt = Field(
        75, ge=1, le=3600, description="How long an idle connection is kept open, in seconds."
    )
    max_connections: StrictInt = Field(
        1024, ge=1, description="Most connections of one worker; a request on a further one is answered 503."
    )
    drain_timeout_s: StrictInt = Field(
        30, ge=1, le=3600, description="How long a stopping worker waits for requests that are under way."
    )
    api_keys_env: str | None = Field(
        None,
        min_length=1,
        description="Environment variable that holds API keys, one `role[,role] key` a line.",
    )
    api_keys_file: PathSetting | None = Field(
        None,
        min_length=1,
        description="File of API keys, relative to the config's folder, written as the variable; it is read "
        "again when it changes.",
    )
    host_names: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,253}$")]] = Field(
        [],
        description="Names under which the service is asked, for a proxy that passes them on. On loopback "
        "without keys, a request that names another host than this machine is refused: it comes from a page "
        "of another site.",
    )
    request_log: Literal["none", "errors", "all"] = Field(
        "errors", description="Which requests are written to the log on stderr, one JSON object each."
    )
    opentelemetry: StrictBool = Field(
        False,
        description="Send traces as the `OTEL_*` environment variables say; needs the extra `opentelemetry`.",
    )

    @model_validator(mode="after")
    def _batches_fit(self) -> ServingConfig:
        if self.max_records > self.max_queue_rows:
            raise ValueError(
                f"max_records {self.max_records} is above max_queue_rows {self.max_queue_rows}: "
                "such a batch would always be refused"
            )
        return self
