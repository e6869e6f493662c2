"""Refused rows: written down up to a limit, counted by reason, and how many of them a config allows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from tabloop.config.data import DataConfig, ReadingLimits
from tabloop.contract.checks.table import RefusedRow
from tabloop.errors import QuarantineLimitError

_EXAMPLES_PER_REASON = 2

#: Size that the file of refused rows does not pass; a row may be as long as a line.
MOST_BYTES = 268_435_456


class QuarantineFile:
    """The file of refused rows, one JSON line each, which does not outgrow its limits.

    Parameters
    ----------
    file : binary file or None
        The file that takes the lines; with None they are dropped.
    limits : ReadingLimits
        How many rows are written at most.
    """

    def __init__(self, file: BinaryIO | None, limits: ReadingLimits) -> None:
        self._file = file
        self._limits = limits
        self._bytes = 0
        self.rows = 0
        self.is_full = False

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a row, unless the file has grown to its limit."""
        if self.is_full or self._file is None:
            return
        line = json.dumps(record, ensure_ascii=False, sort_keys=True).encode() + b"\n"
        limits = self._limits
        if self.rows == limits.quarantine_rows or self._bytes + len(line) > MOST_BYTES:
            self.is_full = True
            return
        self._file.write(line)
        self.rows += 1
        self._bytes += len(line)


class Quarantine:
    """How many rows were refused, and why.

    Parameters
    ----------
    limits : ReadingLimits, optional
        How many of them are described and written down.
    file : binary file, optional
        Where refused rows go, one JSON line each.

    Attributes
    ----------
    rows : int
        Refused rows.
    reasons : dict of str to int
        Rows by `column: reason`; a row may count under several.
    examples : dict of str to list of str
        The first rows of each reason, in words.
    """

    def __init__(self, limits: ReadingLimits | None = None, file: BinaryIO | None = None) -> None:
        limits = limits or ReadingLimits()
        self._file = QuarantineFile(file, limits)
        self.left_to_describe = limits.quarantine_rows
        self.rows = 0
        self.reasons: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def add(self, rows: int, reasons: Mapping[str, int], described: Sequence[RefusedRow]) -> None:
        """Count refused rows in, and write down those that are described."""
        self.rows += rows
        for key, count in reasons.items():
            self.reasons[key] = self.reasons.get(key, 0) + count
        for refused in described[: self.left_to_describe]:
            for problem in refused.problems:
                is_rule = problem["reason"] == "rule"
                key = f"rule: {problem['column']}" if is_rule else f"{problem['column']}: {problem['reason']}"
                shown = self.examples.setdefault(key, [])
                if len(shown) < _EXAMPLES_PER_REASON:
                    got = _short(problem["value"])
                    shown.append(f"line {refused.line}: got {got}, expected {problem['expected']}")
            self._file.write({"line": refused.line, "problems": refused.problems, "row": refused.values})
        self.left_to_describe -= min(len(described), self.left_to_describe)

    def describe(self) -> str:
        """Say which reason refused how many rows, the commonest first, with examples."""
        lines = []
        for key, count in sorted(self.reasons.items(), key=lambda item: -item[1]):
            lines.append(f"  {key}: {count:,} {'row' if count == 1 else 'rows'}")
            lines += [f"    {example}" for example in self.examples.get(key, ())]
        if self._file.rows and self._file.rows < self.rows:
            lines.append(
                f"  the first {self._file.rows:,} of them are written down; data.limits.quarantine_rows or "
                f"the file's limit of {MOST_BYTES / 1e6:,.0f} MB allows no more"
            )
        return "\n".join(lines)


def exceeds_limit(refused_rows: int, rows_read: int, config: DataConfig) -> bool:
    """Tell whether more rows were refused than `data.max_quarantine_fraction` allows."""
    return refused_rows > config.max_quarantine_fraction * rows_read


def require_few_refused(
    where: str,
    refused_rows: int,
    rows_read: int,
    config: DataConfig,
    *,
    described: str,
    then: str = "Mend the data, or the contract if these rows are right.",
) -> None:
    """Raise when more rows were refused than the config allows.

    Parameters
    ----------
    where : str
        The name of what was read.
    refused_rows, rows_read : int
        Rows.
    config : DataConfig
        The section whose `max_quarantine_fraction` is the limit.
    described : str
        The reasons, a line each.
    then : str
        What became of the others, or what to do.

    Raises
    ------
    QuarantineLimitError
        With all of that in its message.
    """
    if exceeds_limit(refused_rows, rows_read, config):
        raise QuarantineLimitError(
            f"{where}: the contract refuses {refused_rows:,} of {rows_read:,} rows "
            f"({refused_rows / rows_read:.2%}); data.max_quarantine_fraction allows "
            f"{config.max_quarantine_fraction:.2%}\n{described}\n{then}"
        )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
