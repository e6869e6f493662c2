"""Load a configuration: defaults, the file, the environment, the command line, in that order."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tabloop.config.config import Config
from tabloop.config.config_file import require_config_file
from tabloop.config.problems import describe_problems
from tabloop.config.yaml_text import parse_yaml
from tabloop.contract.contract import Contract
from tabloop.errors import ConfigError, ContractError

_ENVIRONMENT_PREFIX = "TABLOOP_"


@dataclass(frozen=True)
class Project:
    """A configuration and the folder it belongs to.

    Attributes
    ----------
    config : Config
        Every setting in force.
    config_path : pathlib.Path
        The file they came from; paths in the settings are relative to its folder.
    """

    config: Config
    config_path: Path

    @cached_property
    def contract(self) -> Contract:
        """The contract of `config`."""
        return self.config.build_contract()

    @property
    def folder(self) -> Path:
        """The folder that paths in the settings are relative to."""
        return self.config_path.parent

    def resolve(self, path: str) -> Path:
        """Find a path of the settings on this machine."""
        return self.folder / path

    @property
    def model_dir(self) -> Path:
        """The artifact folder."""
        return self.resolve(self.config.artifacts.model_dir)


def load_project(
    path: Path | str = "config.yaml",
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Project:
    """Load `config.yaml` and what overrides it.

    Parameters
    ----------
    path : path
        The file.
    overrides : sequence of str
        Each `section.key=value`, the value read as YAML; the last one wins.
    environ : mapping, optional
        By default the process's environment. `TABLOOP_SECTION__KEY=value` sets `section.key`.

    Returns
    -------
    project : Project

    Raises
    ------
    ConfigError
        If anything is wrong or unknown; every problem in one message.
    """
    path = Path(path)
    return _override(read_yaml(path), path, overrides, os.environ if environ is None else environ)


def parse_project(text: str, path: Path, *, overrides: Sequence[str] = ()) -> Project:
    """Check a configuration that is not written yet; see `load_project`."""
    return _override(_parse_settings(text, path), path, overrides, os.environ)


def _override(
    settings: dict[str, Any], path: Path, overrides: Sequence[str], environ: Mapping[str, str]
) -> Project:
    origins = {place: origin for place, _, origin in put_overrides(settings, overrides, environ)}
    return build_project(settings, path, origins)


def put_overrides(
    settings: dict[str, Any], overrides: Sequence[str], environ: Mapping[str, str]
) -> list[tuple[tuple[str, ...], Any, str]]:
    """Put what the environment and the command line say into settings, in place.

    Returns
    -------
    put : list of (path, value, origin)
        Where each value went, as the file spells it, and who said it, in order: the last one wins.
    """
    return [
        (_set(settings, keys, value, origin), value, origin)
        for keys, value, origin in (
            *_from_environment(environ),
            *(_from_override(text) for text in overrides),
        )
    ]


def build_project(
    settings: Mapping[str, Any], path: Path, origins: Mapping[tuple[str, ...], str] | None = None
) -> Project:
    """Check plain settings and make a project of them.

    Raises
    ------
    ConfigError
        If anything is wrong or unknown; every problem in one message.
    """
    try:
        project = Project(Config.model_validate(settings), path)
    except ValidationError as error:
        raise ConfigError(describe_problems(error, str(path), origins or {})) from error
    try:
        _ = project.contract
    except ContractError as error:
        lines = str(error).replace("\n", "\n  ")
        raise ConfigError(f"{path}: the contract does not hold together\n  {lines}") from error
    return project


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises
    ------
    ConfigError
        If there is no such file, it is not UTF-8, not YAML, names a key twice or is no mapping.
    """
    require_config_file(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return _parse_settings(text, path)


def _parse_settings(text: str, path: Path) -> dict[str, Any]:
    settings = parse_yaml(text, str(path))
    if settings is None:
        settings = {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: got a {type(settings).__name__}, expected sections such as `data:`")
    return settings


def _from_environment(environ: Mapping[str, str]) -> list[tuple[tuple[str, ...], Any, str]]:
    found = []
    for name in sorted(environ):
        # a single underscore is somebody else's variable: settings always have a section
        if name == "TABLOOP_SEED" or (name.startswith(_ENVIRONMENT_PREFIX) and "__" in name):
            keys = tuple(name.removeprefix(_ENVIRONMENT_PREFIX).lower().split("__"))
            found.append((keys, parse_yaml(environ[name], name), name))
    return found


def _from_override(text: str) -> tuple[tuple[str, ...], Any, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise ConfigError(f"--set {text}: expected section.key=value")
    return tuple(name.strip().split(".")), parse_yaml(value, f"--set {text}"), f"--set {name}"


def _set(settings: dict[str, Any], keys: tuple[str, ...], value: Any, origin: str) -> tuple[str, ...]:
    """Put one value in its place; give the path as the file spells it."""
    place = settings
    spelt: list[str] = []
    for depth, key in enumerate(keys):
        if origin.startswith(_ENVIRONMENT_PREFIX):  # variables are in capitals, settings need not be
            key = next((name for name in place if str(name).lower() == key), key)
        spelt.append(key)
        if depth == len(keys) - 1:
            break
        below = place.setdefault(key, {})
        if below is None:
            below = place[key] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"{origin}: {'.'.join(keys[: depth + 1])} is a value, not a section")
        place = below
    place[spelt[-1]] = value
    return tuple(spelt)
