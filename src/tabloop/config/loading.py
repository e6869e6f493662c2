"""Load a configuration: defaults, the file, the environment, the command line, in that order."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tabloop.config.config import Config
from tabloop.config.problems import describe_problems
from tabloop.contract.contract import Contract
from tabloop.errors import ConfigError, ContractError

# PyYAML lets the errors of the values it builds through: dates that are none, numbers of 5,000 digits
_YAML_ERRORS = (yaml.YAMLError, ValueError, TypeError, RecursionError)

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
        return Contract(self.config.contract, self.config.data.target)

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
    return _override(_parse_yaml(text, path), path, overrides, os.environ)


def _override(
    settings: dict[str, Any], path: Path, overrides: Sequence[str], environ: Mapping[str, str]
) -> Project:
    origins: dict[tuple[str, ...], str] = {}
    for keys, value, origin in (
        *_from_environment(environ),
        *(_from_override(text) for text in overrides),
    ):
        origins[_set(settings, keys, value, origin)] = origin
    return build_project(settings, path, origins)


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
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such file; `tabloop init FILE --target COL` writes one, --config PATH names another"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return _parse_yaml(text, path)


def _parse_yaml(text: str, path: Path) -> dict[str, Any]:
    try:
        # _Loader is a SafeLoader: it makes plain values only
        settings = yaml.load(text, Loader=_Loader)  # noqa: S506
    except _YAML_ERRORS as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if settings is None:
        settings = {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: got a {type(settings).__name__}, expected sections such as `data:`")
    return settings


class _Loader(yaml.SafeLoader):
    """YAML with two traps closed: a key given twice is an error, and `1e-6` is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a plain text", key_node.start_mark
                )
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _value(text: str, origin: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506
    except _YAML_ERRORS as error:
        raise ConfigError(f"{origin}: {text!r} is not a YAML value: {error}") from error


def _from_environment(environ: Mapping[str, str]) -> list[tuple[tuple[str, ...], Any, str]]:
    found = []
    for name in sorted(environ):
        # a single underscore is somebody else's variable: settings always have a section
        if name == "TABLOOP_SEED" or (name.startswith(_ENVIRONMENT_PREFIX) and "__" in name):
            keys = tuple(name.removeprefix(_ENVIRONMENT_PREFIX).lower().split("__"))
            found.append((keys, _value(environ[name], name), name))
    return found


def _from_override(text: str) -> tuple[tuple[str, ...], Any, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise ConfigError(f"--set {text}: expected section.key=value")
    return tuple(name.strip().split(".")), _value(value, f"--set {text}"), f"--set {name}"


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
