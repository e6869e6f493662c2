"""Where a database is: from a URL, the variable that holds one, or a file, and told without its secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tabloop.errors import ConfigError, DatabaseError

#: The driver that is used where a URL names none; SQLAlchemy's own default may be another.
_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}

_SECRET_OPTIONS = ("password", "passwd", "pwd", "secret", "token")

_SQLITE_MAGIC = b"SQLite format 3\0"
_DUCKDB_MAGIC = b"DUCK"  # it stands from byte 8 on


@dataclass(frozen=True)
class DatabaseAddress:
    """A database that can be connected to.

    Attributes
    ----------
    dialect : str
        `postgresql`, `mysql`, `mariadb`, `sqlite`, `duckdb` or another of SQLAlchemy's.
    url : sqlalchemy.engine.URL
        With everything that a connection needs; never shown.
    file : pathlib.Path or None
        The file of an SQLite or DuckDB database.
    name : str
        What to call it: without user, password and options.
    """

    dialect: str
    url: URL
    file: Path | None
    name: str

    def __repr__(self) -> str:
        return f"DatabaseAddress({self.name!r})"

    @property
    def secrets(self) -> list[str]:
        """What no message may hold: the password and secret options, as they are and as a URL writes them."""
        found = [str(self.url.password)] if self.url.password else []
        for name, value in self.url.query.items():
            if any(part in name.lower() for part in _SECRET_OPTIONS):
                found += [value] if isinstance(value, str) else value
        written = [form for text in found for form in (text, quote(text, safe=""), quote_plus(text))]
        return sorted({text for text in written if text}, key=len, reverse=True)


def locate_database(
    url_env: str | None,
    path: str | None,
    folder: Path,
    *,
    setting: str,
    must_exist: bool = True,
    environ: Mapping[str, str] | None = None,
) -> DatabaseAddress:
    """Find the database that a section of the config names.

    Parameters
    ----------
    url_env, path : str or None
        The variable that holds the URL, or the file; one of them.
    folder : pathlib.Path
        The folder that `path` is relative to.
    setting : str
        The section, for the messages.
    must_exist : bool, default=True
        Whether a file has to be there; one that is not is DuckDB's if its name ends in .duckdb or .ddb.
    environ : mapping, optional
        Environment variables; by default those of the process.

    Raises
    ------
    ConfigError
        If the variable is not set, or holds no URL; its value is not shown.
    DatabaseError
        If there is no such file, or it is of another kind.
    """
    if path is not None:
        return _of_file(folder / path, path, must_exist=must_exist)
    if url_env is None:
        raise ConfigError(f"{setting}: names neither url_env nor path")
    text = (os.environ if environ is None else environ).get(url_env, "")
    if not text.strip():
        state = "is empty" if url_env in (os.environ if environ is None else environ) else "is not set"
        raise ConfigError(
            f"{setting}.url_env: the environment variable {url_env} {state}; expected the database's URL, "
            f"such as: export {url_env}=postgresql://user:password@host:5432/database"
        )
    return parse_address(text.strip(), where=f"the environment variable {url_env}")


def parse_address(text: str, *, where: str) -> DatabaseAddress:
    """Read a URL.

    Raises
    ------
    ConfigError
        If it is none; its text, which may hold a password, is not shown.

    Examples
    --------
    >>> parse_address("postgresql://ann:secret@db.example:5432/shop?sslmode=require", where="URL").name
    'postgresql://db.example:5432/shop'
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # not chained: it repeats parts of the text
        raise _no_url(where) from None
    dialect = url.get_backend_name()
    if dialect in ("sqlite", "duckdb"):
        if url.database in (None, "", ":memory:"):
            raise ConfigError(f"{where}: names no file; expected {dialect}:///path/of/the/file")
        file = Path(str(url.database))
        return DatabaseAddress(dialect, url, file, f"{dialect}:{file}")
    if any("@" in (part or "") for part in (url.host, url.database)):
        # a part of the password, which was not written as a URL writes it
        raise _no_url(where)
    if "+" not in url.drivername and dialect in _DRIVERS:
        url = url.set(drivername=f"{dialect}+{_DRIVERS[dialect]}")
    shown = URL.create(dialect, host=url.host, port=url.port, database=url.database)
    return DatabaseAddress(dialect, url, None, shown.render_as_string())


def _no_url(where: str) -> ConfigError:
    return ConfigError(
        f"{where}: holds no URL of a database; expected one such as "
        "postgresql://user:password@host:5432/database or sqlite:///file.db "
        "(with @ : / ? # and % in a password written as %40 %3A %2F %3F %23 and %25)"
    )


def address_of_argument(text: str, *, option: str) -> DatabaseAddress:
    """Read a URL, or `env:NAME`, from the command line.

    Raises
    ------
    ConfigError
        If it is none, or holds a password: other people see the arguments of a process, and shells
        remember them.

    Examples
    --------
    >>> address_of_argument("sqlite:///students.db", option="--to").name
    'sqlite:students.db'
    """
    if text.startswith("env:"):
        return locate_database(text.removeprefix("env:"), None, Path(), setting=option)
    address = parse_address(text, where=option)
    if address.url.password is not None or any(
        part in name.lower() for name in address.url.query for part in _SECRET_OPTIONS
    ):
        raise ConfigError(
            f"{option}: the URL holds a password, which other people see in the list of processes; "
            f"put the URL into an environment variable, and write {option} env:NAME"
        )
    return address


def _of_file(file: Path, shown: str, *, must_exist: bool) -> DatabaseAddress:
    if not must_exist and not file.exists():
        dialect = "duckdb" if file.suffix.lower() in (".duckdb", ".ddb") else "sqlite"
        return DatabaseAddress(dialect, URL.create(dialect, database=str(file)), file, f"{dialect}:{shown}")
    require_file(file)
    with file.open("rb") as opened:
        start = opened.read(12)
    if start[8:12] == _DUCKDB_MAGIC:
        dialect = "duckdb"
    elif start.startswith(_SQLITE_MAGIC[:12]) or not start:
        dialect = "sqlite"
    else:
        raise DatabaseError(f"{file}: neither an SQLite nor a DuckDB file")
    return DatabaseAddress(dialect, URL.create(dialect, database=str(file)), file, f"{dialect}:{shown}")


def require_file(file: Path) -> None:
    """Raise `DatabaseError` when a database's file is not there: connecting would make an empty one."""
    if not file.is_file():
        found = "is a folder" if file.is_dir() else "no such file"
        raise DatabaseError(f"{file}: {found}; expected an SQLite or DuckDB database")
