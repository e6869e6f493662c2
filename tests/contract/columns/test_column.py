"""Every column type answers every question, and none of them needs NumPy or Polars to be read from JSON."""

from __future__ import annotations

import inspect
import random
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest

from tabloop.contract import columns
from tabloop.contract.columns import CategoryColumn, Column, ColumnType

TYPES = get_args(get_args(Column)[0])
SETTINGS: dict[type[ColumnType], dict[str, object]] = {CategoryColumn: {"open": True, "pattern": "[A-Z]{2}"}}


def column_of(kind: type[ColumnType], *, nullable: bool) -> ColumnType:
    name = kind.model_fields["type"].annotation
    return kind.model_validate({"type": get_args(name)[0], "nullable": nullable} | SETTINGS.get(kind, {}))


def test_every_type_of_the_room_is_in_the_union() -> None:
    named = {value for value in vars(columns).values() if inspect.isclass(value)}
    concrete = {c for c in named if issubclass(c, ColumnType) and "type" in c.model_fields}
    assert concrete == set(TYPES)


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_what_a_type_draws_it_accepts_at_every_door(kind: type[ColumnType], nullable: bool) -> None:
    column = column_of(kind, nullable=nullable)
    read = column.json_reader()
    drawn = column.sampler("x", 7)(200, np.random.default_rng(7)).cast(column.dtype)
    checked, problems = column.check_series("x", drawn)
    assert problems == []
    assert checked.dtype == column.dtype
    assert checked.to_list() == drawn.to_list()
    for example in column.examples("x", random.Random(7)):
        assert not isinstance(read(example), columns.Refusal)
    assert (read(None) is None) == nullable
    assert isinstance(column.json_schema()["type"], list) == nullable
    assert column.input_type in ("int64", "double", "bool", "string")


@pytest.mark.parametrize("kind", TYPES)
def test_a_type_keeps_its_values_through_the_table_that_it_asks_for(kind: type[ColumnType]) -> None:
    family = {"big_integer": "integer", "double": "float"}.get(
        (made := column_of(kind, nullable=False).sql_type.kind), made
    )
    found = columns.DatabaseColumn("x", "as made", family, zoned=True)  # type: ignore[arg-type]
    assert column_of(kind, nullable=False).compare(found) == columns.DatabaseFit()


def test_reading_json_needs_neither_numpy_nor_polars() -> None:
    program = (
        "import sys\n"
        "from tabloop.contract.checks.record import RecordChecker\n"
        "from tabloop.contract.contract import Contract\n"
        "types = ['integer', 'number', 'boolean', 'text', 'timestamp']\n"
        "names = {t: {'type': t} for t in types} | {'category': {'type': 'category', 'open': True}}\n"
        "checker = RecordChecker(Contract.from_dict({'columns': names, 'target': {'name': 'y'}}))\n"
        "report = checker.check({'integer': 1, 'number': 0.5, 'boolean': True, 'text': 'a', 'category': 'b',\n"
        "                        'timestamp': '2026-01-31'})\n"
        "assert report.values is not None, report\n"
        "sys.exit([m for m in ('numpy', 'polars', 'sqlalchemy', 'sklearn') if m in sys.modules] or None)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
