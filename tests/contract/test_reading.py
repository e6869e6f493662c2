"""One rule of reading for every door: spaces around texts, and columns that are ignored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabloop.config.loading import load_project
from tabloop.contract.checks.record import RecordChecker
from tabloop.contract.checks.table import check_table
from tabloop.contract.contract import Contract
from tabloop.contract.contract_diff import diff_contracts
from tabloop.contract.feature_table import feature_frame
from tabloop.contract.json_schema import json_schema
from tabloop.errors import RecordError
from tabloop.inference.records.codec import RecordCodec

DESCRIBED: dict[str, Any] = {
    "columns": {
        "plan": {"type": "category", "categories": ["monthly", "yearly"]},
        "note": {"type": "text", "nullable": True, "null_values": ["none"], "max_length": 8},
        "n": {"type": "integer"},
    },
    "target": {"name": "y"},
}
STRIPPING = Contract.from_dict(DESCRIBED | {"strip_spaces": True, "ignored": ["id", "a:b"]})
spaces = st.text(st.sampled_from(" \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u2003\u200b\u3000"), max_size=3)


@given(
    spaces,
    spaces,
    st.sampled_from(["monthly", "yearly", "other"]),
    st.sampled_from(["", "none", "a b", "x" * 8]),
)
def test_a_table_and_a_record_leave_out_the_same_spaces(
    before: str, after: str, plan: str, note: str
) -> None:
    row = {"plan": f"{before}{plan}{after}", "note": f"{after}{note}{before}", "n": 3}
    table = check_table(STRIPPING, pl.DataFrame([row]), with_target=False)
    body, codec = json.dumps(row).encode(), RecordCodec(STRIPPING)
    if table.refused:
        with pytest.raises(RecordError):
            codec.decode_record(body)
        return
    record = codec.decode_record(body)
    assert json.loads(json.dumps(table.accepted.rows()[0])) == list(
        RecordChecker(STRIPPING).check(row).values or ()
    )
    assert record == codec.record_of(table.accepted.row(0, named=True))
    assert feature_frame(STRIPPING, pl.DataFrame([row]))["plan"].to_list() == [table.accepted["plan"][0]]


def test_spaces_are_kept_where_nothing_is_said() -> None:
    with pytest.raises(RecordError, match=r"plan: got ' monthly', expected one of"):
        RecordCodec(Contract.from_dict(DESCRIBED)).decode_record(b'{"plan": " monthly", "n": 3}')


def test_ignored_columns_are_left_out_of_a_record_whatever_they_hold() -> None:
    codec = RecordCodec(STRIPPING)
    plain = codec.decode_record(b'{"plan": "monthly", "n": 3}')
    assert codec.decode_record(b'{"plan": "monthly", "n": 3, "id": {"a": [1]}, "a:b": null}') == plain
    assert codec.decode_records(b'{"records": [{"id": 7, "plan": "monthly", "n": 3}]}') == [plain]
    with pytest.raises(RecordError, match="other: got 1, expected a column of the contract"):
        codec.decode_record(b'{"plan": "monthly", "n": 3, "id": 1, "other": 1}')
    assert {"id", "a:b"} <= set(json_schema(STRIPPING)["properties"])


def test_the_run_keeps_both_and_their_change_is_told() -> None:
    assert Contract.from_dict(json.loads(STRIPPING.to_json())) == STRIPPING
    plain = Contract.from_dict(DESCRIBED)
    assert {"ignored", "strip_spaces"}.isdisjoint(plain.to_dict())
    assert {c.where for c in diff_contracts(STRIPPING, plain).changes if c.severity == "breaking"} == {
        "ignored.id", "ignored.a:b", "strip_spaces",
    }  # fmt: skip


def test_the_settings_of_a_file_hold_at_every_door(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "data:\n  source: {kind: csv, path: t.csv, strip_spaces: true}\n  target: {name: y}\n  ignore: [id]\n"
        "contract:\n  columns:\n    n: {type: integer}\n"
    )
    contract = load_project(tmp_path / "config.yaml").contract
    assert (contract.ignored, contract.strip_spaces) == (("id",), True)
