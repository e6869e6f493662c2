from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import polars as pl
import pytest

from tabloop.contract.checks.table import check_table
from tabloop.contract.contract import Contract
from tabloop.contract.contract_diff import diff_contracts
from tabloop.contract.feature_table import feature_frame
from tabloop.contract.json_schema import json_schema
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.drift.scored_rows import RowReader
from tabloop.errors import ContractError, DataError
from tabloop.inference.records.frame_columns import input_types

EVERY_TYPE: dict[str, Any] = {
    "columns": {
        "count": {"type": "integer", "minimum": -5, "maximum": 2**53},
        "amount": {"type": "number", "nullable": True, "maximum": -1e-9},
        "grade": {"type": "category", "categories": ["A", "B"], "nullable": True},
        "code": {"type": "category", "open": True, "pattern": "[A-F]{2,3}[0-9]?"},
        "member": {"type": "boolean", "nullable": True},
        "note": {"type": "text", "min_length": 3, "max_length": 9},
        "since": {"type": "timestamp", "minimum": "2020-01-01T00:00:00Z"},
    },
    "rules": ["count < 1000 or isnull(amount)"],
    "features": {"ratio": "count / amount", "age": "since / 86400"},
    "target": {"name": "left"},
}


@pytest.mark.parametrize("seed", range(3))
def test_sampled_rows_are_valid(contract: Contract, seed: int) -> None:
    for each in (contract, Contract.from_dict(EVERY_TYPE)):
        rows = sample_rows(each, 2000, seed=seed)
        assert rows.height == 2000
        assert check_table(each, rows, with_target=False).reasons == {}
        assert rows.equals(sample_rows(each, 2000, seed=seed))
        assert not rows.equals(sample_rows(each, 2000, seed=seed + 1))
        assert check_table(each, as_text(rows), with_target=False).reasons == {}


def as_text(rows: pl.DataFrame) -> pl.DataFrame:
    moments = [name for name, dtype in rows.schema.items() if dtype == pl.Datetime]
    return rows.with_columns(pl.col(moments).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f%:z")).cast(pl.String)


def test_sampled_rows_reach_nulls_ends_and_every_category() -> None:
    rows = sample_rows(Contract.from_dict(EVERY_TYPE), 5000, seed=1)
    for name in ("grade", "member"):
        assert 0.05 < rows[name].null_count() / 5000 < 0.15
    assert rows["count"].min() == -5
    assert set(rows["grade"].drop_nulls()) == {"A", "B"}


def test_rules_that_leave_no_row_are_an_error() -> None:
    impossible = Contract.from_dict(
        {"columns": {"a": {"type": "integer"}}, "rules": ["a < a"], "target": {"name": "t"}}
    )
    with pytest.raises(ContractError, match="only 0 of 10 rows found that meet the rules a < a"):
        sample_rows(impossible, 10, seed=1)


def test_the_schema_takes_what_the_contract_takes(contract: Contract) -> None:
    for each in (contract, Contract.from_dict(EVERY_TYPE)):
        validator = jsonschema.Draft202012Validator(json_schema(each))
        validator.check_schema(validator.schema)
        for row in json.loads(sample_rows(each, 200, seed=3).write_json()):
            present = {name: value for name, value in row.items() if value is not None}
            validator.validate(row)
            validator.validate(present)


@pytest.mark.parametrize(
    "change",
    [
        {"days_on_platform": -1},
        {"days_on_platform": 1.5},
        {"student_country": "usa"},
        {"more": 1},
        {"minutes_watched": None},
    ],
)
def test_the_schema_refuses_what_the_contract_refuses(contract: Contract, change: dict[str, Any]) -> None:
    row = sample_rows(contract, 1, seed=1).row(0, named=True)
    validator = jsonschema.Draft202012Validator(json_schema(contract))
    validator.validate(row)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(row | change)


def test_a_description_comes_back_whole() -> None:
    each = Contract.from_dict(EVERY_TYPE)
    again = Contract.from_dict(json.loads(each.to_json()))
    assert again.to_json() == each.to_json()
    assert again.sha256 == each.sha256
    with pytest.raises(ContractError, match="format_version 2, expected 1"):
        Contract.from_dict(EVERY_TYPE | {"format_version": 2})


def test_the_model_sees_of_a_column_what_formulas_make_of_it() -> None:
    columns = {
        "joined": {"type": "timestamp", "model": False},
        "left": {"type": "timestamp", "model": False},
        "grade": {"type": "category", "open": True, "model": False},
        "note": {"type": "text"},
        "price": {"type": "number"},
    }
    features = {"days": "(left - joined) / 86400"}
    each = Contract.from_dict({"columns": columns, "features": features, "target": {"name": "stays"}})
    assert (each.numeric_features, each.category_features) == (("price", "days"), ())
    assert list(input_types(each)) == ["joined", "left", "price"]
    assert RowReader(each).not_monitored == ()
    assert RowReader(each, omitted=["joined"]).not_monitored == ("days",)
    described = each.to_dict()["columns"]
    assert [name for name in columns if "model" in described[name]] == ["joined", "left", "grade"]
    assert Contract.from_dict(json.loads(each.to_json())).sha256 == each.sha256
    with pytest.raises(ContractError, match=r"note.*False"):
        Contract.from_dict({"columns": {"note": {"type": "text", "model": True}}, "target": {"name": "y"}})
    with pytest.raises(ContractError, match="nothing a model could learn from"):
        Contract.from_dict({"columns": columns | {"price": columns["left"]}, "target": {"name": "y"}})


def test_a_contract_that_hides_no_column_keeps_its_hash() -> None:
    """The hash from before there was `model`: graphs and logged rows name it."""
    old = {"columns": {"a": {"type": "boolean"}, "note": {"type": "text"}}, "target": {"name": "y"}}
    assert (
        Contract.from_dict(old).sha256 == "4a05e34a3eec511413872f8013408ef18c9a21588b1f97b5ed7dbb1128c5f3f0"
    )


def changed(**columns: Any) -> dict[str, Any]:
    return EVERY_TYPE | {
        "columns": {k: v for k, v in (EVERY_TYPE["columns"] | columns).items() if v is not None}
    }


@pytest.mark.parametrize(
    ("new", "severity", "where"),
    [
        (EVERY_TYPE, "compatible", None),
        (changed(count={"type": "integer", "minimum": -6, "maximum": 2**53}), "compatible", "columns.count"),
        (changed(count={"type": "integer", "minimum": -4, "maximum": 2**53}), "breaking", "columns.count"),
        (changed(count={"type": "number"}), "breaking", "columns.count"),
        (changed(amount={"type": "number", "nullable": True}), "compatible", "columns.amount"),
        (changed(amount={"type": "number", "maximum": -1e-9}), "breaking", "columns.amount"),
        (changed(grade={"type": "category", "categories": ["A", "B", "C"], "nullable": True}), "compatible", "columns.grade"),
        (changed(grade={"type": "category", "categories": ["A"], "nullable": True}), "breaking", "columns.grade"),
        (changed(grade={"type": "category", "open": True, "nullable": True}), "compatible", "columns.grade"),
        (changed(code={"type": "category", "open": True}), "compatible", "columns.code"),
        (changed(note={"type": "text", "min_length": 3, "max_length": 8}), "breaking", "columns.note"),
        (changed(note=None), "breaking", "columns.note"),
        (changed(more={"type": "number", "nullable": True}), "backfillable", "columns.more"),
        (changed(more={"type": "number"}), "breaking", "columns.more"),
        (changed(amount={"type": "number", "nullable": True, "maximum": -1e-9, "model": False}), "backfillable", "columns.amount"),
        (EVERY_TYPE | {"rules": []}, "compatible", "rules"),
        (EVERY_TYPE | {"rules": ["count<1000  or isnull( amount )"]}, "compatible", None),
        (EVERY_TYPE | {"rules": ["count < 999 or isnull(amount)"]}, "breaking", "rules"),
        (EVERY_TYPE | {"features": {"ratio": "count / amount"}}, "backfillable", "features.age"),
        (EVERY_TYPE | {"features": {"ratio": "count/(amount)", "age": "since / 86401"}}, "backfillable", "features.age"),
        (EVERY_TYPE | {"target": {"name": "stayed"}}, "breaking", "target"),
        (EVERY_TYPE | {"target": {"name": "left", "prediction_name": "leave"}}, "breaking", "target"),
    ],
)  # fmt: skip
def test_a_change_is_called_what_it_is(new: dict[str, Any], severity: str, where: str | None) -> None:
    diff = diff_contracts(Contract.from_dict(EVERY_TYPE), Contract.from_dict(new))
    assert diff.severity == severity, diff.changes
    assert (where is None) == (diff.changes == ())
    if where is not None:
        assert where in [change.where for change in diff.changes]


@pytest.mark.parametrize("grown", ["count", "amount", "note", "member"])
def test_a_compatible_change_keeps_every_row_valid(grown: str) -> None:
    looser = {
        "count": {"type": "integer", "minimum": -50},
        "amount": {"type": "number", "nullable": True},
        "note": {"type": "text", "max_length": 99},
        "member": {"type": "boolean", "nullable": True, "true_values": ["true", "1", "on"]},
    }
    old, new = Contract.from_dict(EVERY_TYPE), Contract.from_dict(changed(**{grown: looser[grown]}))
    assert diff_contracts(old, new).severity == "compatible"
    assert check_table(new, as_text(sample_rows(old, 500, seed=5)), with_target=False).reasons == {}


def test_features_are_the_same_from_polars_and_pandas() -> None:
    each = Contract.from_dict(EVERY_TYPE)
    rows = sample_rows(each, 300, seed=9)
    pandas = __import__("pandas").DataFrame({name: rows[name].to_list() for name in rows.columns})
    from_polars, from_pandas = feature_frame(each, rows), feature_frame(each, pandas)
    assert from_polars.columns == ["count", "amount", "member", "since", "ratio", "age", "grade", "code"]
    for name in each.numeric_features:
        np.testing.assert_array_equal(from_polars[name].to_numpy(), from_pandas[name].to_numpy())
    for name in each.category_features:
        assert from_polars[name].to_list() == from_pandas[name].to_list()
    seconds = rows["since"].dt.epoch("us").to_numpy() / 1e6
    np.testing.assert_array_equal(from_polars["since"].to_numpy(), seconds)


def test_a_formula_without_finite_result_is_missing() -> None:
    each = Contract.from_dict(
        {"columns": {"a": {"type": "number"}}, "features": {"inverse": "1 / a"}, "target": {"name": "t"}}
    )
    inverse = feature_frame(each, pl.DataFrame({"a": [2.0, 0.0]}))["inverse"].to_list()
    assert inverse[0] == 0.5
    assert np.isnan(inverse[1])


def test_a_frame_that_does_not_fit_says_all_of_it(contract: Contract) -> None:
    rows = (
        sample_rows(contract, 3, seed=1).drop("minutes_watched").with_columns(days_on_platform=pl.lit("many"))
    )
    with pytest.raises(DataError, match=r"(?s)days_on_platform, row 0: got 'many'.*minutes_watched: missing"):
        feature_frame(contract, rows)
