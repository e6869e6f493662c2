"""Which settings hold for a folder: those that `train` wrote into it, or a `config.yaml` of a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabloop.config.config_file import require_config_file
from tabloop.config.loading import Project as Settings
from tabloop.config.loading import load_project, parse_project
from tabloop.config.yaml_text import parse_yaml
from tabloop.errors import ConfigError

#: How a `config.yaml` begins that `train` and `run` write into their folder.
MARK = "# Written by tabloop's train() and run(): the settings of the latest run in this folder.\n"


def settings_of(where: str | Path, changes: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings of a project.

    Parameters
    ----------
    where : path
        A `config.yaml`, or the folder that it lies in, such as the one that `train` wrote to.
    changes : mapping, optional
        What holds for now only, as after `--set`: `{"serving.model": "int8"}`.

    Raises
    ------
    ConfigError
        If there is no such file, or a setting is wrong; all of them in one message.
    """
    path = Path(where)
    path = path / "config.yaml" if path.is_dir() or not path.suffix else path
    require_config_file(path)
    given = tuple(f"{key}={json.dumps(value)}" for key, value in (changes or {}).items())
    text = path.read_text("utf-8-sig", "replace")
    if not text.startswith(MARK):
        return load_project(path, overrides=given)
    return parse_project(text, path, overrides=(*pinned(parse_yaml(text, str(path))), *given))


def pinned(settings: Mapping[str, Any]) -> tuple[str, str]:
    """Say where rows and artifacts are, so that no environment variable leads elsewhere."""
    return "artifacts.model_dir=.", f"data.source={json.dumps(settings['data']['source'])}"


def settings_of_run(path: Path) -> Settings:
    """Find the settings under which a run's folder was made: beside the runs, above, or where one works.

    Raises
    ------
    ConfigError
        If no `config.yaml` there has this artifact folder.
    """
    model_dir = path.resolve().parents[1]
    places = [model_dir / "config.yaml", model_dir.parent / "config.yaml", Path.cwd() / "config.yaml"]
    for place in places:
        if place.is_file() and (found := settings_of(place)).model_dir.resolve() == model_dir:
            return found
    looked = ", ".join(str(place) for place in dict.fromkeys(places))
    raise ConfigError(
        f"{path}: no config.yaml has {model_dir} as its artifact folder; looked at {looked}. "
        "Open the project by its config, then the run: tabloop.Project('.../config.yaml').get(run_id)"
    )
