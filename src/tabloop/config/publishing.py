"""The `publishing` section: where runs are shown beside the artifact folder."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, StrictBool, field_validator

from tabloop.contract.section import Section


class MlflowConfig(Section):
    """An MLflow tracking server."""

    every_run: StrictBool = Field(
        False,
        description="Whether `train`, `run`, `release`, `rollback` and `retrain` publish their run by "
        "themselves; needs the extra `mlflow`. A server that does not answer fails none of them: it is said "
        "on standard error, and `tabloop publish --to mlflow` tries again.",
    )
    tracking_uri: str | None = Field(
        None,
        min_length=1,
        description="The tracking server, such as `http://127.0.0.1:5000`; left out, the environment "
        "variable `MLFLOW_TRACKING_URI` names it. Who asks is told by `MLFLOW_TRACKING_USERNAME` and "
        "`MLFLOW_TRACKING_PASSWORD`, or `MLFLOW_TRACKING_TOKEN`.",
    )
    experiment: str = Field("tabloop", min_length=1, max_length=250, description="The runs' experiment.")
    registered_model: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9 ._-]{1,200}$",
        description="The registered model whose versions are the runs that passed, its alias `champion` on "
        "the one that is live; left out, it is the target's prediction name.",
    )

    @field_validator("tracking_uri")
    @classmethod
    def _no_secret(cls, tracking_uri: str | None) -> str | None:
        if tracking_uri is not None and urlsplit(tracking_uri).password is not None:
            raise ValueError("holds a password; MLFLOW_TRACKING_PASSWORD is the place for it")
        return tracking_uri


class PublishingConfig(Section):
    """Where runs are shown beside the artifact folder."""

    mlflow: MlflowConfig = Field(
        default_factory=lambda: MlflowConfig.model_validate({}), description="An MLflow tracking server."
    )
