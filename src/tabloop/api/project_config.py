"""A config that is not written to a file yet, or not any more: look at it, edit it, write it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from yaml.representer import RepresenterError

from tabloop.api.frames import Table
from tabloop.api.html import table, titled
from tabloop.artifacts.files import write_atomic
from tabloop.config.config import Config
from tabloop.config.data import Source
from tabloop.config.loading import Project, parse_project, read_yaml
from tabloop.config.yaml_text import parse_yaml, write_yaml
from tabloop.contract.contract import Contract
from tabloop.errors import ConfigError

if TYPE_CHECKING:
    from tabloop.api.data_check import DataCheck
    from tabloop.contract.contract_diff import ContractDiff
    from tabloop.data.load import LoadReport

_WHERE = Path("config")


class ProjectConfig(MutableMapping[str, Any]):
    """Settings that can be edited; each change is checked at once, and refused as a file's would be.

    A key is written as after `--set`: `config["business.target_precision"] = 0.8`. What is read is the
    setting in force, the default where none was given. Changes that only hold together are made together,
    by `update`.

    Parameters
    ----------
    text : str
        YAML, as a `config.yaml` holds it.
    guesses : tuple of str, default=()
        What was guessed, a sentence each.

    Raises
    ------
    ConfigError
        If a setting is wrong or unknown; all of them in one message.

    Examples
    --------
    >>> import polars as pl
    >>> import tabloop as tl
    >>> frame = pl.DataFrame({"minutes": [3.5, 0, 12, 7], "country": ["DE", "US", "US", "DE"],
    ...                       "bought": ["yes", "no", "yes", "no"]})
    >>> config = tl.init(frame, target="bought")
    >>> config["business.target_precision"]
    0.9
    >>> config["business.target_precision"] = 0.8
    >>> config["business.target_precison"] = 0.8
    Traceback (most recent call last):
    tabloop.errors.ConfigError: config: 1 setting is wrong
      business.target_precison: unknown setting, did you mean target_precision?
    """

    def __init__(self, text: str, guesses: tuple[str, ...] = ()) -> None:
        self.guesses = guesses
        self._text: str | None = text
        self._settings = _parsed(text)
        self._project = parse_project(text, _WHERE)

    @classmethod
    def read(cls, path: str | Path) -> ProjectConfig:
        """Read a `config.yaml`; the path of its source is found from anywhere afterwards."""
        settings = read_yaml(Path(path))
        data = settings.get("data")
        source = data.get("source") if isinstance(data, dict) else None
        if isinstance(source, dict) and isinstance(source.get("path"), str):
            source["path"] = str(Path(path).absolute().parent / source["path"])
        return cls(write_yaml(settings))

    @classmethod
    def of(cls, project: Project) -> ProjectConfig:
        """Take every setting in force of a project; the path of its source is found from anywhere."""
        settings = project.config.model_dump(mode="json", exclude_none=True)
        source = settings["data"]["source"]
        if isinstance(source.get("path"), str):
            source["path"] = str((project.folder / source["path"]).absolute())
        return cls(write_yaml(settings))

    @property
    def settings(self) -> Config:
        """Every setting in force, typed; the frozen sections of `config.yaml`."""
        return self._project.config

    @property
    def contract(self) -> Contract:
        """What a valid row is."""
        return self._project.contract

    def data_check(self, data: Table = None) -> DataCheck:
        """Check rows against the contract, all at once; nothing is written.

        Parameters
        ----------
        data : pandas, Polars or Arrow frame, or path, optional
            By default the config's `data.source`. The target is checked where it is there.

        Returns
        -------
        check : DataCheck
            The rows that are accepted, and why the others are not.

        Raises
        ------
        DataError
            If the columns are not the contract's.

        Examples
        --------
        >>> import polars as pl
        >>> import tabloop as tl
        >>> frame = pl.DataFrame({"minutes": [3.5, 0, 12, 7], "bought": ["yes", "no", "yes", "no"]})
        >>> config = tl.init(frame, target="bought")
        >>> check = config.data_check(frame.with_columns(minutes=pl.Series([3.5, None, 12, None])))
        >>> check.rows_read, check.refused_rows, check.reasons
        (4, 2, {'minutes: null': 2})
        """
        from tabloop.api.data_check import data_check

        return data_check(self.settings.data, self.contract, data)

    def data_load(
        self, file: str | Path, to: str, *, table: str, key: Sequence[str] = (), replace: bool = False
    ) -> LoadReport:
        """Make a database table from a checked file, its types from the contract; nobody sees half of it.

        Parameters
        ----------
        file : path
            A CSV or Parquet file.
        to : str
            `sqlite:///file.db`, or `env:NAME` of a variable that holds the address.
        table : str
            The table, or `SCHEMA.TABLE`.
        key : sequence of str, default=()
            Columns of the primary key.
        replace : bool, default=False
            Whether a table of that name gives way.

        Returns
        -------
        report : LoadReport

        Raises
        ------
        QuarantineLimitError
            If more rows are refused than the config allows; there is no table then.

        Examples
        --------
        >>> import tabloop as tl
        >>> config = tl.Project("artifacts").config
        >>> config.data_load("rows.csv", "sqlite:///shop.db", table="visits").rows_loaded
        600
        """
        from tabloop.data.load import load_table
        from tabloop.data.open_source import source_of_file
        from tabloop.data.sql.address import address_of_argument

        data, path = self.settings.data, Path(file)
        data = data.model_copy(update={"source": source_of_file(data.source, path)})
        schema, _, name = table.rpartition(".")
        return load_table(
            data, self.contract, path, address_of_argument(to, option="to"),
            table=name, table_schema=schema or None, key=key, replace=replace,
        )  # fmt: skip

    def contract_diff(self, other: ProjectConfig) -> ContractDiff:
        """Compare its contract with another one's.

        Parameters
        ----------
        other : ProjectConfig
            The later one.

        Returns
        -------
        diff : ContractDiff
            `severity`: `compatible`, what was valid is valid; `backfillable`, the model sees something new
            that old rows can be given; `breaking`, rows or requests that were valid are no longer. Each of
            `changes` says where.

        Examples
        --------
        >>> import copy
        >>> import polars as pl
        >>> import tabloop as tl
        >>> frame = pl.DataFrame({"minutes": [3.5, 0, 12, 7], "bought": ["yes", "no", "yes", "no"]})
        >>> config = tl.init(frame, target="bought")
        >>> stricter = copy.copy(config)
        >>> stricter["contract.columns.minutes.maximum"] = 10
        >>> config.contract_diff(stricter).severity
        'breaking'
        """
        from tabloop.contract.contract_diff import diff_contracts

        return diff_contracts(self.contract, other.contract)

    def json_schema(self) -> dict[str, Any]:
        """Describe one valid row as a JSON schema, as `tabloop contract show --json-schema` does.

        Examples
        --------
        >>> import polars as pl
        >>> import tabloop as tl
        >>> frame = pl.DataFrame({"minutes": [3.5, 0, 12, 7], "bought": ["yes", "no", "yes", "no"]})
        >>> sorted(tl.init(frame, target="bought").json_schema()["properties"])
        ['minutes']
        """
        from tabloop.contract.json_schema import json_schema

        return json_schema(self.contract)

    def update(self, *others: Any, **sections: Any) -> None:
        """Make several changes at once, such as `config.update({"data.ignore": ["id"], "seed": 7})`."""
        settings = copy.deepcopy(self._settings)
        for key, value in dict(*others, **sections).items():
            plain = value.item() if isinstance(value, np.generic) else value
            _place(settings, key, make=True)[key.rpartition(".")[2]] = plain
        self._take(settings)

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        settings = copy.deepcopy(self._settings)
        try:
            del _place(settings, key)[key.rpartition(".")[2]]
        except KeyError:
            raise KeyError(key) from None
        self._take(settings)

    def __getitem__(self, key: str) -> Any:
        in_force = self._project.config.model_dump(mode="json")
        try:
            return _place(in_force, key)[key.rpartition(".")[2]]
        except KeyError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[str]:
        return iter(Config.model_fields)

    def __len__(self) -> int:
        return len(Config.model_fields)

    def _take(self, settings: dict[str, Any]) -> None:
        try:
            text = write_yaml(settings)
        except RepresenterError as error:
            raise ConfigError(
                f"{_WHERE}: got {error.args[-1]!r}, expected plain values as YAML has them"
            ) from error
        self._project = parse_project(text, _WHERE)
        self._settings, self._text = settings, None

    def to_yaml(self) -> str:
        """Write the settings that were given as YAML, the guesses as comments."""
        if self._text is not None:
            return self._text
        guesses = "".join(f"# guessed: {' '.join(guess.split())}\n" for guess in self.guesses)
        return guesses + write_yaml(self._settings)

    def write(self, path: str | Path) -> Path:
        """Write a `config.yaml` for the command line; raises `ConfigError` where a file is there already."""
        path = Path(path)
        if path.exists():
            raise ConfigError(f"{path}: is there already; name another, or remove it")
        write_atomic(path, self.to_yaml().encode())
        return path

    def placed(self, source: Source, model_dir: str) -> ProjectConfig:
        """Give the same settings with rows from elsewhere and another artifact folder."""
        settings = copy.deepcopy(self._settings)
        # the section may be missing: its settings can come from the environment
        settings["data"] = settings.get("data") or {}
        settings["data"]["source"] = source.model_dump(mode="json", exclude_unset=True)
        settings["artifacts"] = (settings.get("artifacts") or {}) | {"model_dir": model_dir}
        return ProjectConfig(write_yaml(settings), self.guesses)

    def __repr__(self) -> str:
        target = self.settings.data.target.name
        n_columns, n_guesses = len(self.contract.columns), len(self.guesses)
        return f"<ProjectConfig: {n_columns} columns, target {target!r}, {n_guesses} guesses>"

    def _repr_html_(self) -> str:
        target = self.contract.target
        columns = [
            [name, column.type, column.nullable, column.describe_limits()]
            for name, column in self.contract.columns.items()
        ]
        return titled(
            "config",
            f"target {target.name}: {target.positive_text} counts as 1",
            table(["column", "type", "nullable", "limits"], columns),
            table(["guessed"], [[guess] for guess in self.guesses]) if self.guesses else "",
        )


def _parsed(text: str) -> dict[str, Any]:
    settings = parse_yaml(text, str(_WHERE))
    return settings if isinstance(settings, dict) else {}


def _place(settings: dict[str, Any], key: str, *, make: bool = False) -> dict[str, Any]:
    """Find the section that holds the last part of a dotted key."""
    place = settings
    for name in key.split(".")[:-1]:
        below = place.get(name)
        if below is None and make:
            below = place[name] = {}
        if not isinstance(below, dict):
            if make:
                raise ConfigError(f"{_WHERE}: {key}: {name} is a value, not a section")
            raise KeyError(key)
        place = below
    return place
