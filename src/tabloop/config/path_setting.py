"""The type of a setting that is a path."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from tabloop.config.local_path import require_local_path

#: A path of this machine, relative to the config's folder; a URL is refused by name.
PathSetting = Annotated[str, AfterValidator(require_local_path)]
