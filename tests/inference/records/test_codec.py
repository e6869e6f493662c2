from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from tabloop.contract.checks.record import MAX_PROBLEMS, RecordChecker
from tabloop.contract.contract import Contract
from tabloop.contract.formulas.evaluation import evaluate_row, evaluate_table
from tabloop.contract.formulas.parser import parse_formula
from tabloop.errors import MalformedBodyError, RecordError, TooManyRecordsError
from tabloop.inference.records.codec import RecordCodec
from tabloop.inference.records.frame_columns import columns_of_frame

STUDENT = {
    "student_country": "US",
    "days_on_platform": 100,
    "minutes_watched": 180.0,
    "courses_started": 3,
    "practice_exams_started": 2,
    "practice_exams_passed": 1,
    "minutes_spent_on_exams": 40.0,
}


@pytest.fixture(scope="module")
def codec(contract: Contract) -> RecordCodec:
    return RecordCodec(contract, max_records=2000)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_a_student_is_decoded_and_written(codec: RecordCodec) -> None:
    record: Any = codec.decode_record(encoded(STUDENT))
    assert msgspec.structs.astuple(record) == tuple(STUDENT.values())
    assert json.loads(msgspec.json.encode(record)) == STUDENT
    with pytest.raises(AttributeError):
        record.c0 = "DE"
    assert type(record) is codec.record_type


def test_whole_floats_are_integers_by_the_slow_path(codec: RecordCodec) -> None:
    record: Any = codec.decode_record(encoded(STUDENT).replace(b": 100,", b": 1e2,"))
    assert record == codec.decode_record(encoded(STUDENT))
    assert type(record.c1) is int


@pytest.mark.parametrize(
    ("written", "field", "code", "got"),
    [
        (b'"days_on_platform": 3.5', "days_on_platform", "type", 3.5),
        (b'"days_on_platform": 1e400', "days_on_platform", "type", "1e400"),
        (b'"days_on_platform": true', "days_on_platform", "type", True),
        (b'"days_on_platform": null', "days_on_platform", "null", None),
        (b'"days_on_platform": 100, "days_on_platform": 100', "days_on_platform", "duplicate", 100),
        (b'"days_on_platfrm": 100', "days_on_platfrm", "unknown", 100),
        (b'"days_on_platform": NaN', "days_on_platform", "type", "NaN"),
        (b'"days_on_platform": 36501', "days_on_platform", "range", 36501),
    ],
)
def test_a_wrong_field_is_named(codec: RecordCodec, written: bytes, field: str, code: str, got: Any) -> None:
    body = encoded(STUDENT).replace(b'"days_on_platform": 100', written)
    with pytest.raises(RecordError) as error:
        codec.decode_record(body)
    assert (field, code, got) in [(p.field, p.code, p.got) for p in error.value.problems]
    assert {p.row for p in error.value.problems} == {None}
    assert codec.plain_record(body) is None


def test_a_colon_in_a_text_hides_no_repeated_key() -> None:
    codec = RecordCodec(Contract.from_dict({
        "columns": {"a:b": {"type": "text", "nullable": True}, "n": {"type": "integer", "nullable": True}},
        "features": {"f": "n"}, "target": {"name": "t"}}))  # fmt: skip
    assert msgspec.structs.astuple(codec.decode_record(rb'{"a:b": "x:y\n"}')) == ("x:y\n", None)
    # each of these has as many colons as a body in which no key stands twice
    for body in (
        rb'{"a:b": "\u003a", "a:b": "\u003a"}',
        b'{"n": 1, "n": 2}',
        rb'{"a\u003ab": "x", "n":1, "n":1}',
    ):
        with pytest.raises(RecordError) as error:
            codec.decode_record(body)
        assert [p.code for p in error.value.problems] == ["duplicate"]


def test_problems_of_many_records_name_their_rows(codec: RecordCodec) -> None:
    rows = [STUDENT, STUDENT | {"student_country": "usa"}, STUDENT | {"practice_exams_passed": 3}, []]
    with pytest.raises(RecordError) as error:
        codec.decode_records(encoded({"records": rows, "record": 1}))
    assert [(p.row, p.field, p.code) for p in error.value.problems] == [
        (None, "record", "unknown"),
        (1, "student_country", "pattern"),
        (2, "practice_exams_passed <= practice_exams_started", "rule"),
        (3, "", "type"),
    ]


def test_a_rule_broken_in_a_long_list_is_found(codec: RecordCodec) -> None:
    rows = [STUDENT] * 999 + [STUDENT | {"practice_exams_passed": 3}]
    assert len(codec.decode_records(encoded({"records": rows[:-1]}))) == 999
    with pytest.raises(RecordError) as error:
        codec.decode_records(encoded({"records": rows}))
    assert [(p.row, p.code) for p in error.value.problems] == [(999, "rule")]


def test_a_rule_says_the_same_of_one_record_and_of_many() -> None:
    contract = Contract.from_dict({
        "columns": {"x": {"type": "number"}, "y": {"type": "number"}},
        "rules": ["log1p(x) != y"], "target": {"name": "t"}})  # fmt: skip
    x = np.random.default_rng(0).uniform(0, 10, 5000)
    formula = parse_formula("log1p(x)", {"x": "number"}, expected="number")
    y = np.array([evaluate_row(formula, {"x": each}) for each in x.tolist()])
    # every row breaks the rule; NumPy would say otherwise of those in which the last bit of its log differs
    differs = evaluate_table(formula, {"x": x}) != y
    chosen = np.flatnonzero(differs if differs.any() else ~differs)[:10]
    rows = [{"x": x[place], "y": y[place]} for place in np.resize(chosen, 10)]
    with pytest.raises(RecordError) as error:
        RecordCodec(contract).decode_records(encoded({"records": rows}))
    assert error.value.n_problems == 10


def test_problems_are_counted_beyond_those_that_are_told(codec: RecordCodec) -> None:
    with pytest.raises(RecordError) as error:
        codec.decode_records(encoded({"records": [{}] * 500}))
    assert len(error.value.problems) == MAX_PROBLEMS
    assert error.value.n_problems == 500 * len(STUDENT)
    with pytest.raises(RecordError) as error:
        codec.decode_record(encoded(STUDENT | {f"x{n}": 1 for n in range(500)}))
    assert (len(error.value.problems), error.value.n_problems) == (MAX_PROBLEMS, 500)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"text"', b"{", b'{"a": 1}}', b"\xff", b"[" * 10**6])
def test_what_is_no_object_is_malformed(codec: RecordCodec, body: bytes) -> None:
    for decode in (codec.decode_record, codec.decode_records):
        with pytest.raises(MalformedBodyError):
            decode(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "records is missing"),
        (b'{"record": []}', "records is missing"),
        (b'{"records": {}}', "records is an object"),
        (b'{"records": null}', "records is null"),
        (b'{"records": []}', "records is empty"),
        (b'{"records": [1], "records": [2]}', "'records' stands there twice"),
        (b'{"records": ' + b"[" * 10**6, "nested too deeply"),
    ],
)
def test_a_body_without_a_list_of_records_is_malformed(codec: RecordCodec, body: bytes, said: str) -> None:
    with pytest.raises(MalformedBodyError, match=said):
        codec.decode_records(body)


def test_a_key_of_the_body_that_stands_twice_is_refused_with_good_records(codec: RecordCodec) -> None:
    one = encoded([STUDENT])
    with pytest.raises(MalformedBodyError, match="twice"):
        codec.decode_records(b'{"records":' + one + b',"records":' + one + b"}")


def test_too_many_records_are_an_error_of_their_own(codec: RecordCodec) -> None:
    assert len(codec.decode_records(encoded({"records": [STUDENT] * 2000}))) == 2000
    with pytest.raises(TooManyRecordsError, match="got 2001 records, expected at most 2000"):
        codec.decode_records(encoded({"records": [STUDENT] * 2001}))


def test_arrays_of_the_students_are_those_of_the_table(
    codec: RecordCodec, contract: Contract, students: pl.DataFrame
) -> None:
    rows = students.select(list(contract.columns))
    records = codec.decode_records(encoded({"records": rows.rows(named=True)}))
    for name, array in columns_of_frame(contract, rows).items():
        found = codec.columns_of(records)[name]
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_a_plain_record_is_what_decoding_gives_and_feeds_the_same_numbers(
    codec: RecordCodec, contract: Contract, students: pl.DataFrame
) -> None:
    for row in students.select(list(contract.columns)).head(200).rows(named=True):
        record = codec.decode_record(encoded(row))
        assert codec.plain_record(encoded(row)) == record
        _require_equal_feed(codec, [record])
    for broken in ({"practice_exams_passed": 3}, {"student_country": "usa"}, {"student_country": ""}):
        assert codec.plain_record(encoded(STUDENT | broken)) is None


def test_nulls_moments_and_truths_feed_the_same_numbers() -> None:
    codec = RecordCodec(Contract.from_dict({
        "columns": {
            "age": {"type": "integer", "nullable": True}, "since": {"type": "timestamp", "nullable": True},
            "paid": {"type": "boolean"}, "note": {"type": "category", "open": True, "nullable": True},
            "a": {"type": "number"}, "b": {"type": "integer", "nullable": True},
        },
        "rules": ["b <= a"], "target": {"name": "t"},
    }))  # fmt: skip
    full = {"age": 3, "since": "2026-01-31T12:00:00.25Z", "paid": True, "note": "x", "a": 2.5, "b": 2}
    for row in (full, full | {"age": None, "since": None, "note": None, "b": None, "paid": False}):
        record = codec.decode_record(encoded(row))
        assert codec.plain_record(encoded(row)) == record
        _require_equal_feed(codec, [record])
        _require_equal_feed(codec, [record, record])
    assert codec.plain_record(encoded(full | {"b": 3})) is None


def _require_equal_feed(codec: RecordCodec, records: list[Any]) -> None:
    feed = codec.feed_of(records)
    for name, values in codec.columns_of(records).items():
        assert feed[name].dtype == values.dtype
        np.testing.assert_array_equal(feed[name], values.reshape(-1, 1))


def test_a_record_of_values_is_checked(codec: RecordCodec) -> None:
    assert codec.record_of(STUDENT) == codec.decode_record(encoded(STUDENT))
    with pytest.raises(RecordError, match="practice_exams_passed: got 1000000000, expected at most 100000"):
        codec.record_of(STUDENT | {"practice_exams_passed": 10**9})


def test_a_null_is_told_from_an_absent_field_only_while_reading() -> None:
    codec = RecordCodec(Contract.from_dict({
        "columns": {"age": {"type": "integer", "nullable": True}, "n": {"type": "integer"}}, "target": {"name": "t"},
    }))  # fmt: skip
    absent, null = codec.decode_record(b'{"n": 1}'), codec.decode_record(b'{"age": null, "n": 1}')
    assert absent == null
    assert msgspec.json.encode(absent) == msgspec.json.encode(null) == b'{"age":null,"n":1}'
    with pytest.raises(RecordError, match="age: got 2, expected it once"):
        codec.decode_record(b'{"n": 1, "age": null, "age": 2}')


def test_threads_share_a_codec(codec: RecordCodec) -> None:
    """The memory of known texts is shared; overflow it from several threads at once."""
    wrong: list[Any] = []

    def work(first: str) -> None:
        for number in range(3000):
            country = first + chr(65 + number % 26)
            record: Any = codec.decode_record(encoded(STUDENT | {"student_country": country}))
            if record.c0 != country:
                wrong.append(record)

    threads = [threading.Thread(target=work, args=(first,)) for first in "ABCD"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_more_texts_than_are_remembered_are_judged_alike() -> None:
    contract = Contract.from_dict(
        {
            "columns": {"note": {"type": "text", "pattern": "[0-9]+"}},
            "features": {"one": "1"},
            "target": {"name": "t"},
        }
    )
    codec = RecordCodec(contract)
    for start in (0, 5000, 0):
        rows = [{"note": str(number)} for number in range(start, start + 5000)]
        assert len(codec.decode_records(encoded({"records": rows}))) == 5000
    with pytest.raises(RecordError, match="matches"):
        codec.decode_records(encoded({"records": [*rows, {"note": "x"}]}))
    assert RecordChecker(contract).check({"note": "x"}).values is None


def test_the_serving_process_stays_lean() -> None:
    code = (
        "import sys, tabloop.inference.records.codec;"
        "print([m for m in ('polars', 'sklearn', 'joblib', 'pandas', 'onnx', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
