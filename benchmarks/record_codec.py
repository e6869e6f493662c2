"""Compare ways from a JSON body to checked rows: our fast path, our slow path, pydantic.

    python benchmarks/record_codec.py
    python benchmarks/record_codec.py --config other/config.yaml --rows 1 100 1000

The pydantic model is made of the same contract: the same types, ranges, patterns and rules (judged row by
row), unknown fields refused. It does less than ours: repeated keys pass, and texts that mean null are not
known. Each figure is the median of several repeats, in CPU time and taken in turns, so that a busy machine
hits all alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, create_model, model_validator
from rich.console import Console
from rich.table import Table

from tabloop.config.loading import load_project
from tabloop.contract.checks.record import RecordChecker, rule_holds
from tabloop.contract.checks.strict_json import read_json
from tabloop.contract.columns import (
    BooleanColumn,
    CategoryColumn,
    Column,
    IntegerColumn,
    NumberColumn,
    TimestampColumn,
)
from tabloop.contract.contract import Contract
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.inference.records.codec import RecordCodec


def pydantic_model(contract: Contract) -> type[BaseModel]:
    """Build the model that one would write by hand for a FastAPI service."""
    names = {f"c{i}": name for i, name in enumerate(contract.columns)}
    fields: dict[str, Any] = {}
    for (attribute, name), column in zip(names.items(), contract.columns.values(), strict=True):
        kind = _pydantic_type(column)
        if column.nullable:
            fields[attribute] = (kind | None, Field(None, alias=name))
        else:
            fields[attribute] = (kind, Field(alias=name))

    class Base(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

        @model_validator(mode="after")
        def _rules(self) -> Any:
            row = {name: getattr(self, attribute) for attribute, name in names.items()}
            for rule in contract.rules:
                if not rule_holds(rule, row):
                    raise ValueError(f"breaks {rule}")
            return self

    return create_model("Row", __base__=Base, **fields)


def _pydantic_type(column: Column) -> Any:
    match column:
        case IntegerColumn():
            return Annotated[int, Field(ge=column.minimum, le=column.maximum)]
        case NumberColumn():
            return Annotated[float, Field(ge=column.minimum, le=column.maximum)]
        case BooleanColumn():
            return bool
        case TimestampColumn():
            return datetime
        case CategoryColumn(categories=categories, open=False) if categories is not None:
            return Literal[categories]
        case _:
            return Annotated[str, AfterValidator(lambda text: _checked_text(text, column))]


def _checked_text(text: str, column: Any) -> str:
    problem = column.problem(text)
    if problem is not None:
        raise ValueError(problem.expected)
    return text


def ways(contract: Contract) -> dict[str, Callable[[bytes], Any]]:
    """Give each way from `{"records": [...]}` to checked rows."""
    codec = RecordCodec(contract, max_records=10**6)
    checker = RecordChecker(contract)
    row = pydantic_model(contract)
    batch = create_model("Batch", records=(list[row], ...), __config__=ConfigDict(extra="forbid"))  # type: ignore[valid-type]
    adapter = TypeAdapter(batch)

    def slow(body: bytes) -> list[Any]:
        return [checker.check(record).values for record in read_json(body)["records"]]

    return {
        "msgspec alone, unchecked": msgspec.json.decode,
        "RecordCodec.decode_records": codec.decode_records,
        "the slow path (read_json, RecordChecker)": slow,
        "pydantic (TypeAdapter.validate_json)": adapter.validate_json,
    }


def measure(way: Callable[[], Any], budget_s: float) -> float:
    """Give the CPU seconds of one call."""
    calls, elapsed = 1, 0.0
    while elapsed < budget_s / 4:
        calls *= 2
        start = time.process_time()
        for _ in range(calls):
            way()
        elapsed = time.process_time() - start
    return elapsed / calls


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path(__file__).parents[1] / "config.yaml")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 1000], help="records in one body")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--budget-s", type=float, default=0.1, help="seconds of one repeat")
    options = parser.parse_args()

    contract = load_project(options.config, environ={}).contract
    frame = sample_rows(contract, max(options.rows), seed=1)
    rows = [
        {name: v.isoformat() if isinstance(v, datetime) else v for name, v in row.items()}
        for row in frame.iter_rows(named=True)
    ]
    codec = RecordCodec(contract)
    tasks: dict[str, dict[int, Callable[[], Any]]] = {}
    for n_rows in options.rows:
        body = json.dumps({"records": rows[:n_rows]}).encode()
        records = codec.decode_records(body)
        for name, way in ways(contract).items():
            tasks.setdefault(name, {})[n_rows] = lambda way=way, body=body: way(body)  # type: ignore[misc]
        for name, unpack in {"columns_of": codec.columns_of}.items():
            tasks.setdefault(f"RecordCodec.{name}", {})[n_rows] = (
                lambda unpack=unpack, records=records: unpack(records)  # type: ignore[misc]
            )

    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.repeats):
        for name, sizes in tasks.items():
            for n_rows, task in sizes.items():
                found.setdefault((name, n_rows), []).append(measure(task, options.budget_s))

    table = Table("µs a record", *(f"{n} record{'s' * (n != 1)}" for n in options.rows))
    for name, sizes in tasks.items():
        table.add_row(name, *(f"{statistics.median(found[name, n]) / n * 1e6:.2f}" for n in sizes))
    Console().print(table)


if __name__ == "__main__":
    main()
