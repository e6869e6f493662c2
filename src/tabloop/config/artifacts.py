"""The `artifacts` section: where runs are kept."""

from __future__ import annotations

from pydantic import Field, StrictInt

from tabloop.config.path_setting import PathSetting
from tabloop.contract.section import Section


class ArtifactsConfig(Section):
    """Where runs are kept."""

    model_dir: PathSetting = Field(
        "artifacts", min_length=1, description="The artifact folder, relative to the config's folder."
    )
    remote: str | None = Field(
        None,
        pattern=r"^(s3|gs|az)://[^/]+",
        description="Object storage that machines share, such as `s3://BUCKET/PATH`: `push`, `pull`, "
        "`promote`, `serve --pointer` and `monitor --fleet` use it. Credentials come from the environment.",
    )
    keep_runs: StrictInt = Field(
        20,
        ge=1,
        description="Sealed runs that are kept, the newest; a release removes older ones with their reports, "
        "and tables of retrainings that no run needs any more. The champion and the five champions before it "
        "stay beside them, and so do open runs.",
    )
