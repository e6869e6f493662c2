"""Properties of JSON records over generated contracts: tables, the definition and the fast path agree."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tabloop.contract.checks.record import RecordChecker
from tabloop.contract.checks.strict_json import read_json
from tabloop.contract.checks.table import check_table
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.contract.sampling.example import example_record
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.drift.scored_rows import RowReader
from tabloop.errors import ContractError, MalformedBodyError, RecordError
from tabloop.inference.records.codec import RecordCodec
from tabloop.inference.records.frame_columns import columns_of_frame

pytestmark = pytest.mark.examples

relaxed = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    deadline=None,
)

COLUMNS: list[dict[str, Any]] = [
    {"type": "integer"},
    {"type": "integer", "minimum": 0, "maximum": 10},
    {"type": "integer", "minimum": -5},
    {"type": "number"},
    {"type": "number", "minimum": 0.0, "maximum": 1.5},
    {"type": "number", "minimum": -1e300},
    {"type": "boolean"},
    {"type": "category", "categories": ["A", "B", "né", "x:y", 'quo"te']},
    {"type": "category", "pattern": "[A-Z]{2}", "open": True, "null_values": ["NA"]},
    {"type": "category", "pattern": "ab?|[0-9]{2}:[0-9]{2}", "open": True},
    {"type": "text", "max_length": 4},
    {"type": "text", "min_length": 2, "null_values": ["none", "?"]},
    {"type": "timestamp"},
    {"type": "timestamp", "minimum": "2020-01-01T00:00:00Z", "maximum": "2400-01-01T00:00:00Z"},
]  # fmt: skip
NAMES = ["a", "days on", "Größe (`cm`)", "time:start", "c1", "records", "null", " x", "🎓"]
TEXTS = [
    "",
    "A",
    "AB",
    "ab",
    "NA",
    "né",
    "none",
    "x:y",
    "12:34",
    "longer than that",
    "a\nb",
    "\0",
    "🎓🎓🎓🎓",
]
MOMENTS = [
    "2026-01-31", "2026-01-31T12:00:00Z", "2026-01-31 13:00+01:00", "2026-01-31T12:00:00.000001",
    "20260131T1200", "2026-W05-6", "1900-01-01", "2399-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-12:00",
    "0001-01-01", "", "yesterday", "2026-01-32", "2026-01-31T12:00:00Zoo", "2026-01-31🎓12:00", "2026-01-31\x0012:00",
]  # fmt: skip
INTEGERS = [-1, 0, 1, 10, 11, 2**53, 2**53 + 1, -(2**53), -(2**53) - 1, 2**62]
FLOATS = [
    -0.0,
    1.0,
    3.0,
    3.5,
    1.5,
    1.5000000000000002,
    -5e-324,
    1e300,
    2.0**53,
    2.0**53 - 1,
    float("inf"),
    -1.1e300,
]


@st.composite
def contracts(draw: st.DrawFn, *, log1p: bool = False) -> Contract:
    """Contracts over every type of column, with rules that most rows meet."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True))
    columns = {name: draw(st.sampled_from(COLUMNS)) | {"nullable": draw(st.booleans())} for name in names}
    for name in draw(st.lists(st.sampled_from(names), max_size=3)):
        columns[name] |= {"model": False}
    quoted = {name: "`" + name.replace("`", "``") + "`" for name in names}
    numbers = [quoted[n] for n in names if columns[n]["type"] in ("integer", "number", "timestamp")]
    rules, features = [], {"constant": "1 / 3"}
    for one in numbers:
        other = draw(st.sampled_from(numbers))
        candidates = [f"{one} != 3", f"{one} <= {other} or {one} > 5", f"not isnull({one}) or {other} > 0"]
        candidates += [f"log1p({one}) > log1p({other}) - 1e300"] if log1p else []
        rules += draw(st.lists(st.sampled_from(candidates), max_size=1))
        features[f"feature {len(features)}"] = f"{one} / {other}"
    for name in names:
        if columns[name]["type"] == "boolean":
            rules += draw(st.sampled_from([[], [f"not {quoted[name]} or isnull({quoted[names[0]]})"]]))
        if columns[name]["type"] in ("text", "category"):
            features[f"feature {len(features)}"] = f"where(isnull({quoted[name]}), 1, 0)"
    return Contract.from_dict(
        {"columns": columns, "rules": rules, "features": features, "target": {"name": "the target"}}
    )


def sampled(contract: Contract, n_rows: int, seed: int) -> pl.DataFrame:
    try:
        return sample_rows(contract, n_rows, seed=seed)
    except ContractError:
        assume(False)
        raise


def as_json(contract: Contract, row: dict[str, Any]) -> dict[str, Any]:
    """A typed row as JSON values, as a client would write it."""
    return {name: v.isoformat() if isinstance(v, datetime) else v for name, v in row.items()}


def kept(contract: Contract, row: tuple[Any, ...]) -> list[Any]:
    """A typed row as a record keeps it."""
    return [v.isoformat().replace("+00:00", "Z") if isinstance(v, datetime) else v for v in row]


@given(st.data(), contracts(), st.integers(0, 3), st.integers(1, 4))
@relaxed
def test_a_record_is_what_a_table_row_is(data: st.DataObject, contract: Contract, seed: int, n: int) -> None:
    frame = sampled(contract, n, seed)
    columns: dict[str, pl.Series] = {}
    for name, column in contract.columns.items():
        values = frame[name].to_list()
        match column.type:
            case "integer":
                as_float = data.draw(st.booleans())
                pool: list[Any] = FLOATS if as_float else INTEGERS
                dtype: Any = pl.Float64 if as_float else pl.Int64
                values = [v if v is None else float(v) if as_float else v for v in values]
            case "number":
                as_integer = data.draw(st.booleans())
                pool, dtype = (INTEGERS, pl.Int64) if as_integer else (FLOATS, pl.Float64)
                values = [0 if v is not None and as_integer else v for v in values]
            case "boolean":
                pool, dtype = [True, False], pl.Boolean
            case "timestamp":
                pool, dtype = MOMENTS, pl.String
                values = [v if v is None else v.isoformat() for v in values]
            case _:
                pool, dtype = TEXTS, pl.String
        for edited in data.draw(st.lists(st.integers(0, n - 1), max_size=2)):
            values[edited] = data.draw(st.sampled_from([None, *pool]))
        columns[name] = pl.Series(name, values, dtype=dtype)
    table = pl.DataFrame(columns)
    report = check_table(contract, table, with_target=False)
    refused = {each.line - 1: each.problems for each in report.refused}
    accepted = dict(zip(report.accepted_rows.tolist(), report.accepted.iter_rows(), strict=True))
    checker = RecordChecker(contract)
    for place, row in enumerate(table.iter_rows(named=True)):
        absent = {name for name in row if row[name] is None and data.draw(st.booleans())}
        found = checker.check({name: value for name, value in row.items() if name not in absent})
        codes = [(p.field, "null" if p.code == "missing" else p.code) for p in found.problems]
        assert codes == [(p["column"], p["reason"]) for p in refused.get(place, [])]
        if found.values is None:
            assert place not in accepted
        else:
            assert repr(list(found.values)) == repr(kept(contract, accepted[place]))
        assert found.n_problems == len(found.problems)
        json.dumps([(p.got, p.expected) for p in found.problems], allow_nan=False).encode()


NUMBER_TOKENS = st.sampled_from(
    ["0", "-0", "-0.0", "3", "3.0", "3.5", "1e2", "1E+2", "100e-2", "1.5", "1.50000000000000011", "1e400", "-1e400",
     "1e-400", "5e-324", "2.4703282292062327e-324", "9007199254740992", "9007199254740993", "9007199254740993.0",
     "-9007199254740993", "18446744073709551616", "9223372036854775808", "1" * 30, "1" * 400, "1" * 5000,
     "179769313486231570814527423731704356798070e267", "179769313486231580793728971405303415079934132710037e258",
     "0.1000000000000000055511151231257827021181583404541015625", "NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.",
     "-", "1e", "0x1", "1_0"]
) | st.integers().map(str) | st.floats().map(repr) | st.floats(0, 2).map("{:.25f}".format)  # fmt: skip
TEXT_TOKENS = st.sampled_from(
    ['""', '"A"', '"\\u0041"', '"AB"', '"NA"', '"n\\u00e9"', '"né"', '"ne\\u0301"', '"x:y"', '"x\\u003ay"', '"12:34"',
     '"12\\u003a34"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\udc00"', '"\\ude00\\ud83d"', '"\\u0000"', '"a\\nb"', '"\t"',
     '"\\/"', '"\\x"', '"quo\\"te"', '"none"', "'A'", '"A', '"\\u00"', '"🎓🎓🎓🎓"', '"🎓🎓🎓🎓🎓"']
) | st.text().map(json.dumps)  # fmt: skip
MOMENT_TOKENS = st.sampled_from([json.dumps(m) for m in MOMENTS] + ['"2026-01-31T12\\u003a00:00Z"', '"2026\\ud800"',
                                                                   '"2026-01-31\\ud80012:00"'])  # fmt: skip
OTHER_TOKENS = st.sampled_from(
    [
        "null",
        "true",
        "false",
        "True",
        "nul",
        "[]",
        "{}",
        '{"a": 1, "a": 1}',
        "[[1]]",
        "",
        "[" * 3000,
        '"1"',
        "1 1",
    ]
)
TOKENS = NUMBER_TOKENS | TEXT_TOKENS | MOMENT_TOKENS | OTHER_TOKENS
FITTING = {
    "integer": NUMBER_TOKENS,
    "number": NUMBER_TOKENS,
    "timestamp": MOMENT_TOKENS,
    "boolean": OTHER_TOKENS,
}


@st.composite
def object_texts(draw: st.DrawFn, contract: Contract, row: dict[str, Any]) -> str:
    """The JSON text of a row, as written by a strange hand; often still valid."""
    fields = []
    for name, value in row.items():
        token = json.dumps(value, ensure_ascii=draw(st.booleans()))
        match draw(st.integers(0, 15)):
            case 0:
                token = draw(FITTING.get(contract.columns[name].type, TEXT_TOKENS))
            case 1:
                token = draw(TOKENS)
            case 2:
                continue
            case 3:
                fields.append((name, draw(st.sampled_from([token, "null"]) | TOKENS)))
        fields.append((name, token))
    if draw(st.integers(0, 15)) == 0:
        fields.append((draw(st.sampled_from([*NAMES, "unknown", "", "\ud800"])), draw(TOKENS)))
    if draw(st.booleans()):
        fields = draw(st.permutations(fields))
    gap = draw(
        st.sampled_from(["", "", " ", "\r\n\t ", "\x0b", "\xa0"])
        if draw(st.integers(0, 9)) == 0
        else st.just(" ")
    )
    keys = [
        json.dumps(name, ensure_ascii="\ud800" in name)
        if draw(st.integers(0, 9))
        else '"'
        + "".join(
            f"\\u{unit:04X}" for unit in np.frombuffer(name.encode("utf-16-le", "surrogatepass"), "<u2")
        )
        + '"'
        for name, _ in fields
    ]
    return (
        "{"
        + ("," + gap).join(f"{key}{gap}:{gap}{token}" for key, (_, token) in zip(keys, fields, strict=True))
        + gap
        + "}"
    )


@st.composite
def spoiled(draw: st.DrawFn, text: str) -> bytes:
    """The bytes of a text, a few of them spoiled in one case of ten."""
    body = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)):
        return body
    at = draw(st.integers(0, len(body)))
    noise = draw(
        st.sampled_from(
            [
                b"\xff",
                b"\xef\xbb\xbf",
                b"\xed\xa0\x80",
                b"\0",
                b",",
                b":",
                b'"',
                b"{",
                b"}",
                b"\\",
                b" ",
                b"/**/",
            ]
        )
        | st.binary(max_size=3)
    )
    how = draw(st.sampled_from(["before", "after", "inside", "instead", "cut", "utf-16"]))
    if how == "utf-16":
        return text.encode("utf-16", "surrogatepass")
    return {
        "before": noise + body,
        "after": body + noise,
        "inside": body[:at] + noise + body[at:],
        "instead": body[:at] + noise + body[at + len(noise) :],
        "cut": body[:at],
    }[how]


def outcome(decode: Any, body: bytes) -> Any:
    """What came of a body: the values with their types, or the error's type and problems."""
    try:
        decoded = decode(body)
    except RecordError as error:
        return error.problems
    except MalformedBodyError as error:
        return type(error), str(error)
    many = decoded if isinstance(decoded, list) else [decoded]
    return repr(
        [list(each) if isinstance(each, tuple) else list(msgspec.structs.astuple(each)) for each in many]
    )


def by_definition(contract: Contract, body: bytes, *, many: bool) -> Any:
    """The same from the definition alone."""
    checker = RecordChecker(contract)

    def decode(body: bytes) -> Any:
        value = read_json(body)
        if not many:
            if not isinstance(value, dict):
                raise MalformedBodyError("no object")
            reports = [checker.check(value)]
        else:
            reports = [checker.check(each, row=row) for row, each in enumerate(value["records"])]
        problems = [problem for report in reports for problem in report.problems]
        if problems:
            raise RecordError(problems)
        return [report.values for report in reports]

    return outcome(decode, body)


@given(st.data(), contracts(log1p=True), st.integers(0, 3))
@relaxed
def test_the_fast_path_accepts_nothing_else(data: st.DataObject, contract: Contract, seed: int) -> None:
    row = as_json(contract, sampled(contract, 1, seed).row(0, named=True))
    body = data.draw(spoiled(data.draw(object_texts(contract, row))))
    found = outcome(RecordCodec(contract).decode_record, body)
    expected = by_definition(contract, body, many=False)
    if isinstance(expected, tuple) and "no object" in expected[1]:
        assert found[0] is MalformedBodyError
    else:
        assert found == expected


@given(st.data(), contracts(log1p=True), st.integers(0, 3), st.integers(1, 8))
@relaxed
def test_many_records_are_judged_like_each_alone(
    data: st.DataObject, contract: Contract, seed: int, n_rows: int
) -> None:
    rows = [as_json(contract, row) for row in sampled(contract, n_rows, seed).iter_rows(named=True)]
    odd = data.draw(st.integers(0, 2))
    texts = [
        data.draw(object_texts(contract, row)) if place < odd else json.dumps(row, ensure_ascii=False)
        for place, row in enumerate(rows)
    ]
    body = ('{"records": [' + ",".join(texts) + "]}").encode("utf-8", "surrogatepass")
    assert outcome(RecordCodec(contract).decode_records, body) == by_definition(contract, body, many=True)


@given(contracts(log1p=True), st.integers(0, 3), st.integers(1, 12))
@relaxed
def test_plainly_written_rows_take_the_fast_path(contract: Contract, seed: int, n_rows: int) -> None:
    rows = [as_json(contract, row) for row in sampled(contract, n_rows, seed).iter_rows(named=True)]
    codec = RecordCodec(contract)
    codec._explain_record = codec._explain_records = None  # type: ignore[assignment, method-assign]
    body = json.dumps({"records": rows}, ensure_ascii=False).encode()
    records = codec.decode_records(body)
    leaner = [{name: value for name, value in row.items() if value is not None} for row in rows]
    assert codec.decode_records(json.dumps({"records": leaner}, ensure_ascii=False).encode()) == records
    for row, record in zip(rows, records, strict=True):
        assert codec.decode_record(json.dumps(row, ensure_ascii=False).encode()) == record
        assert codec.record_of(row) == record
        # what a record is written as is read as the same record, in the contract's order
        written = msgspec.json.encode(record)
        assert codec.decode_record(written) == record
        assert list(json.loads(written)) == list(contract.columns)


@given(contracts(), st.integers(0, 3), st.integers(1, 6))
@relaxed
def test_arrays_are_those_of_the_table(contract: Contract, seed: int, n_rows: int) -> None:
    frame = sampled(contract, n_rows, seed)
    codec = RecordCodec(contract)
    records = [codec.record_of(as_json(contract, row)) for row in frame.iter_rows(named=True)]
    inputs, expected = codec.columns_of(records), columns_of_frame(contract, frame)
    assert list(inputs) == list(expected)
    for name, array in expected.items():
        assert inputs[name].dtype == array.dtype
        np.testing.assert_array_equal(inputs[name], array)


@given(contracts(log1p=True), st.integers(0, 3), st.integers(1, 6))
@relaxed
def test_the_monitor_sees_of_logged_records_what_training_saw(
    contract: Contract, seed: int, n_rows: int
) -> None:
    frame = sampled(contract, n_rows, seed)
    codec = RecordCodec(contract)
    records = [codec.record_of(as_json(contract, row)) for row in frame.iter_rows(named=True)]
    logged = [json.loads(msgspec.json.encode(record)) for record in records]
    columns = {name: [record.get(name) for record in logged] for name in contract.columns}
    seen = RowReader(contract).read(columns, [0.5] * n_rows, [1] * n_rows)
    table = feature_frame(contract, frame)
    assert list(seen.features) == list(contract.numeric_features)
    for name, values in seen.features.items():
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, table[name].to_numpy())
    for name in contract.category_features:
        assert list(seen.categories[name]) == table[name].to_list()


@given(contracts(), st.integers(0, 3))
@relaxed
def test_examples_are_valid(contract: Contract, seed: int) -> None:
    made = example_record(contract, seed=seed)
    if made is not None:
        report = RecordChecker(contract).check(made)
        assert list(report.values or ()) == list(made.values())
