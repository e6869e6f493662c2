"""Where each setting in force comes from: a default, the file, the environment, the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabloop.config.loading import put_overrides, read_yaml
from tabloop.config.yaml_text import line_numbers

SettingPath = tuple[str, ...]

DEFAULT = "default"


def load_origins(
    path: Path, overrides: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> dict[SettingPath, str]:
    """Find who says what of a configuration.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    overrides : sequence of str
        As `--set` has them.
    environ : mapping, optional
        By default the process's environment.

    Returns
    -------
    origins : dict of path to str
        For each value that somebody gave, `config.yaml:12`, the name of a variable, or `--set`; a setting
        that is not among them has its default.

    Raises
    ------
    ConfigError
        If the file cannot be read, or an override is none.
    """
    settings = read_yaml(path)
    lines = line_numbers(path.read_text(encoding="utf-8-sig"), str(path))
    origins = {place: f"{path}:{line}" for place, line in lines.items()}
    for place, value, origin in put_overrides(
        settings, overrides, os.environ if environ is None else environ
    ):
        said = "--set" if origin.startswith("--set") else origin
        for known in [known for known in origins if known[: len(place)] == place]:
            del origins[known]
        origins |= {(*place, *below): said for below, _ in settings_of(value)}
    return origins


def settings_of(value: Any, place: SettingPath = ()) -> Iterator[tuple[SettingPath, Any]]:
    """Walk nested settings down to the values; a list is one, and so is an empty mapping.

    Examples
    --------
    >>> list(settings_of({"cv": {"n_splits": 5}, "seed": 1}))
    [(('cv', 'n_splits'), 5), (('seed',), 1)]
    """
    if not isinstance(value, dict) or not value:
        yield place, value
        return
    for key, below in value.items():
        yield from settings_of(below, (*place, str(key)))


def origin_of(place: SettingPath, origins: Mapping[SettingPath, str]) -> str:
    """Say where the value at a path comes from; one inside a value that was given whole comes with it."""
    for length in range(len(place), 0, -1):
        if place[:length] in origins:
            return origins[place[:length]]
    return DEFAULT
