"""Find the files that a person named: one, a folder of them, those that match a pattern, here or at a URL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from tabloop.config.data import DataConfig, SqlSource
from tabloop.config.local_path import is_url
from tabloop.data.open_source import named_input
from tabloop.errors import DataError
from tabloop.storage.folder import FileEntry, Folder
from tabloop.storage.local_folder import LocalFolder
from tabloop.storage.open_folder import open_folder

#: What the files of a data set end with; others in a folder are left alone.
SUFFIXES = (".csv", ".parquet", ".pq")
_PATTERN = re.compile(r"[*?\[]")
# What Hive and Spark write for null
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class InputFile:
    """A file of a data set, or the table of a database.

    Attributes
    ----------
    name : str
        Its place in the data set, with `/`; of a table, its name.
    entry : FileEntry or None
        The file; None for a table.
    partition : mapping of str to str or None
        What the folders `key=value` that it lies in say.
    """

    name: str
    entry: FileEntry | None = None
    partition: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Its size; 0 of a table."""
        return self.entry.bytes if self.entry is not None else 0


@dataclass(frozen=True)
class DataSet:
    """What is to be scored.

    Attributes
    ----------
    where : str
        What a person called it.
    folder : str
        The folder that the files are in, as `open_folder` takes it.
    config : DataConfig
        How they are written; its source is the table, where it is one.
    files : tuple of InputFile
        In the order of their names.
    """

    where: str
    folder: str
    config: DataConfig
    files: tuple[InputFile, ...]

    @property
    def is_table(self) -> bool:
        """Whether it is a table of a database."""
        return isinstance(self.config.source, SqlSource)


def is_data_set(text: str | None) -> bool:
    """Tell whether this can only be a data set: a folder, a pattern, or a URL.

    Examples
    --------
    >>> [is_data_set(text) for text in ("march/*.csv", "s3://bucket/march.csv", "march.csv", None)]
    [True, True, False, False]
    """
    return text is not None and (is_url(text) or Path(text).is_dir() or _is_pattern(text))


def find_data_set(config: DataConfig, folder: Path, text: str | None) -> DataSet:
    """Find what a person named, on the command line or in the config.

    Parameters
    ----------
    config : DataConfig
        How files are written; its source is read where nothing is named.
    folder : pathlib.Path
        The folder that the configured source's path is relative to.
    text : str or None
        A file, a folder, a pattern with `*`, `?`, `[...]` and `**`, a URL of any of these, or `table:NAME`.

    Raises
    ------
    DataError
        If nothing is found there.
    """
    if text is None or not is_data_set(text):
        named, base = named_input(config, folder, text)
        source = named.source
        if isinstance(source, SqlSource):
            name = source.table or "query"
            where = ".".join(filter(None, (source.table_schema, name)))
            return DataSet(
                f"table:{where}" if source.table else "query", str(base), named, (InputFile(name),)
            )
        path = base / source.path
        return _one_file(str(path), LocalFolder(path.parent), path.name, config)
    base_text, pattern = _split(text)
    if not pattern and base_text.endswith(SUFFIXES) and is_url(base_text):
        parent, _, name = base_text.rpartition("/")
        return _one_file(base_text, open_folder(parent), name, config)
    place = open_folder(base_text)
    found = _matcher(pattern)
    files = sorted(
        (
            _input_file(entry, place)
            for entry in place.entries()
            if _is_data(entry.path) and found(entry.path)
        ),
        key=lambda each: each.name,
    )
    if not files:
        what = f"no file matches {pattern}" if pattern else f"holds no {', '.join(SUFFIXES[:-1])} or .pq file"
        raise DataError(f"{place.where}: {what}; names that begin with . or _ are left out")
    return DataSet(text.rstrip("/"), place.where, config, tuple(files))


def partition_of(path: str) -> dict[str, str | None]:
    """Read the folders `key=value` of a path, as Hive and Spark write them.

    Examples
    --------
    >>> partition_of("sales/day=2026-11-01/country=a%2Fb/part.parquet")
    {'day': '2026-11-01', 'country': 'a/b'}
    """
    pairs = (folder.partition("=") for folder in PurePosixPath(path).parts[:-1])
    return {
        unquote(key): None if value == _NULL_PARTITION else unquote(value)
        for key, mark, value in pairs
        if mark and key
    }


def _one_file(where: str, folder: Folder, name: str, config: DataConfig) -> DataSet:
    return DataSet(where, folder.where, config, (_input_file(folder.entry(name), folder),))


def _input_file(entry: FileEntry, folder: Folder) -> InputFile:
    return InputFile(entry.path, entry, partition_of(f"{folder.where}/{entry.path}"))


def _is_pattern(text: str) -> bool:
    return _PATTERN.search(text) is not None


def _split(text: str) -> tuple[str, str]:
    """Cut before the first folder that is a pattern."""
    parts = text.split("/")
    plain = next((place for place, part in enumerate(parts) if _is_pattern(part)), len(parts))
    base = "/".join(parts[:plain])
    return base or ("/" if text.startswith("/") else "."), "/".join(parts[plain:])


def _is_data(path: str) -> bool:
    hidden = any(part[0] in "._" for part in path.split("/"))
    return not hidden and path.lower().endswith(SUFFIXES)


class _matcher:  # noqa: N801 - a function with a state
    """Tells whether a path below a folder matches a pattern."""

    def __init__(self, pattern: str) -> None:
        self._expression = re.compile("".join(_expressions(pattern))) if pattern else None

    def __call__(self, path: str) -> bool:
        return self._expression is None or self._expression.fullmatch(path) is not None


def _expressions(pattern: str) -> Iterator[str]:
    """Translate a pattern: `**` is any number of folders, `*` and `?` stay inside a name."""
    parts = pattern.rstrip("/").split("/")
    for place, part in enumerate(parts):
        is_last = place == len(parts) - 1
        if part == "**":
            yield ".*" if is_last else "(?:[^/]+/)*"
            continue
        at = 0
        while at < len(part):
            end = part.find("]", at + 2) if part[at] == "[" else -1
            if part[at] == "[" and end > 0:
                inside = part[at + 1 : end].replace("\\", "\\\\")
                yield f"[^{inside[1:]}]" if inside[0] == "!" else f"[{inside}]"
                at = end
            else:
                yield {"*": "[^/]*", "?": "[^/]"}.get(part[at], re.escape(part[at]))
            at += 1
        # a folder that matches stands for all that is in it
        yield "(?:/.*)?" if is_last else "/"
