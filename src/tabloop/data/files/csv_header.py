"""The names of a text file's columns: from its first line, from the config, or by position."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tabloop.config.data import CsvSource
from tabloop.errors import DataError

_SHOWN = 10


def column_names(first: list[str], source: CsvSource, path: Path) -> list[str]:
    """Name the columns of a file.

    Parameters
    ----------
    first : list of str
        The fields of its first line.
    source : CsvSource
        Whether that line is a header, and what becomes of names that stand there twice.
    path : pathlib.Path
        The file, for the messages.

    Returns
    -------
    names : list of str
        As many as `first` has fields, each another.

    Raises
    ------
    DataError
        If a name stands twice and nothing was said about it, or `names` are not as many as the fields.

    Examples
    --------
    >>> source = CsvSource(kind="csv", path="a.csv", repeated_names="number")
    >>> column_names(["amount", "visits", "amount"], source, Path("a.csv"))
    ['amount', 'visits', 'amount_2']
    """
    if not source.header:
        if source.names and len(source.names) != len(first):
            raise DataError(
                f"{path}: the first line has {len(first)} fields; data.source.names holds {len(source.names)}"
            )
        return list(source.names) or [f"column_{place}" for place in range(1, len(first) + 1)]
    names = [name.strip() for name in first] if source.strip_spaces else first
    times = Counter(names)
    twice = [name for name, count in times.items() if count > 1]
    if not twice:
        return names
    shown = ", ".join(f"{name!r} ({times[name]} times)" for name in twice[:_SHOWN])
    shown += f" and {len(twice) - _SHOWN} more" if len(twice) > _SHOWN else ""
    if looks_headerless(names):
        raise DataError(
            f"{path}: columns of the same name: {shown}. The first line looks like a row: a file without a "
            "header is read with data.source.header: false, and data.source.names, or column_1, column_2, ..."
        )
    if source.repeated_names == "refuse":
        raise DataError(
            f"{path}: columns of the same name: {shown}; expected each name once. "
            "data.source.repeated_names: number tells them apart by position, as name, name_2, name_3"
        )
    numbered: list[str] = []
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    taken = [name for name, count in Counter(numbered).items() if count > 1]
    if taken:
        raise DataError(f"{path}: {', '.join(taken)} is a name already; rename a column of the file")
    return numbered


def looks_headerless(names: list[str]) -> bool:
    """Tell whether a first line is a row rather than names: some of its fields are numbers with a point.

    Whole numbers may be names, such as years.

    Examples
    --------
    >>> looks_headerless(["51.26", "37", "red", "1"]), looks_headerless(["2024", "2025", "country"])
    (True, False)
    """
    return any("." in name and _is_number(name) for name in names)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
