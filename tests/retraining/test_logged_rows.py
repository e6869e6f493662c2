"""What was logged and what came true become the rows they were."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.contract.contract import Contract
from tabloop.errors import DataError
from tabloop.outcomes.outcome import Outcome
from tabloop.outcomes.store import OutcomeStore
from tabloop.retraining.logged_rows import read_outcome_rows, require_whole_rows

CONTRACT = Contract.from_dict(
    {
        "columns": {
            "age": {"type": "integer", "nullable": True, "minimum": 0},
            "income": {"type": "number", "nullable": True},
            "member": {"type": "boolean", "nullable": True},
            "country": {"type": "category", "open": True, "nullable": True},
            "note": {"type": "text", "nullable": True},
            "joined": {"type": "timestamp", "nullable": True},
        },
        "target": {"name": "churned", "positive": "yes", "negative": "no"},
    }
)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
NOW = LONG_AGO + timedelta(days=30)
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
ROWS = st.fixed_dictionaries(
    {
        "age": st.none() | st.integers(0, 2**53),
        "income": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
        "member": st.none() | st.booleans(),
        "country": st.none() | TEXTS,
        "note": st.none() | TEXTS,
        "joined": st.none() | MOMENTS.map(lambda moment: moment.isoformat() + "Z"),
    }
)


def log_rows(
    folder: Path, rows: list[dict[str, Any]], *, at: datetime = LONG_AGO, rotate_bytes: int = 1 << 20
) -> list[str]:
    config = PredictionLogConfig(rotate_bytes=rotate_bytes)
    with PredictionLogWriter(folder, config, clock_ns=lambda: int(at.timestamp() * 1e9)) as log:
        return [log.append([row], [0.5], [1], run_id="run", threshold=0.5).prediction_ids[0] for row in rows]


def tell(folder: Path, ids: list[str], labels: list[int]) -> None:
    outcomes = [
        Outcome(n, label, "2026-01-02T00:00:00.000000Z") for n, label in zip(ids, labels, strict=True)
    ]
    OutcomeStore(folder).append(outcomes, source="test")


def student(age: int) -> dict[str, Any]:
    return {
        "age": age,
        "income": 1.0,
        "member": True,
        "country": "DE",
        "note": "n",
        "joined": "2020-01-01T00:00:00Z",
    }


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, min_size=1, max_size=5), data=st.data())
def test_every_type_comes_back_as_it_was(
    rows: list[dict[str, Any]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("log")
    labels = data.draw(st.lists(st.sampled_from([0, 1]), min_size=len(rows), max_size=len(rows)))
    ids = log_rows(folder, rows)
    tell(folder, ids, labels)
    found = read_outcome_rows(folder, CONTRACT, matured_before=NOW)
    assert found.prediction_id == ids
    assert found.quarantine.rows == found.lost_rows == 0
    assert found.frame["churned"].to_list() == labels
    for name in ("age", "member", "country", "note"):
        assert found.frame[name].to_list() == [row[name] for row in rows]
    assert found.frame["income"].to_list() == [
        None if r["income"] is None else float(r["income"]) for r in rows
    ]
    assert found.frame["joined"].to_list() == [
        None if r["joined"] is None else datetime.fromisoformat(r["joined"]) for r in rows
    ]


def test_only_matured_outcomes_count(tmp_path: Path) -> None:
    old = log_rows(tmp_path, [student(1), student(2)])
    new = log_rows(tmp_path, [student(3)], at=NOW)
    tell(tmp_path, old + new, [1, 0, 1])
    found = read_outcome_rows(tmp_path, CONTRACT, matured_before=NOW)
    assert found.frame["age"].to_list() == [1, 2]
    assert (found.matured_rows, found.matured_positives) == (2, 1)
    later = read_outcome_rows(tmp_path, CONTRACT, matured_before=NOW + timedelta(seconds=1))
    assert later.frame["age"].to_list() == [1, 2, 3]


def test_the_latest_correction_counts(tmp_path: Path) -> None:
    ids = log_rows(tmp_path, [student(1), student(2)])
    tell(tmp_path, ids, [1, 1])
    tell(tmp_path, ids[:1], [0])
    assert read_outcome_rows(tmp_path, CONTRACT, matured_before=NOW).frame["churned"].to_list() == [0, 1]


def test_rows_that_the_contract_refuses_go_to_quarantine_with_the_reason(tmp_path: Path) -> None:
    """Logged under an older contract, or damaged on the way: they teach nothing."""
    rows = [student(1), student(-1), student(2) | {"income": "much"}, student(3)]
    ids = log_rows(tmp_path, rows)
    tell(tmp_path, ids, [1, 0, 1, 0])
    found = read_outcome_rows(tmp_path, CONTRACT, matured_before=NOW)
    assert found.frame["age"].to_list() == [1, 3]
    assert found.prediction_id == [ids[0], ids[3]]
    assert found.quarantine.reasons == {"age: range": 1, "income: type": 1}
    refused = [json.loads(line) for line in found.quarantine_lines.splitlines()]
    assert [line["row"]["prediction_id"] for line in refused] == ids[1:3]


def test_outcomes_whose_rows_are_gone_are_counted_as_lost(tmp_path: Path) -> None:
    ids = log_rows(tmp_path, [student(n) for n in range(20)], rotate_bytes=2_000)
    tell(tmp_path, ids, [0, 1] * 10)
    oldest = min(tmp_path.glob("prediction_log-*"))
    oldest.unlink()
    found = read_outcome_rows(tmp_path, CONTRACT, matured_before=NOW)
    assert found.lost_rows == 20 - found.frame.height > 0
    assert found.frame["age"].to_list() == list(range(found.lost_rows, 20))


def test_the_latest_rows_are_the_same_whether_or_not_all_are_read(tmp_path: Path) -> None:
    ids = log_rows(tmp_path, [student(n) for n in range(30)], rotate_bytes=2_000)
    tell(tmp_path, ids, [0, 1] * 15)
    every = read_outcome_rows(tmp_path, CONTRACT, matured_before=NOW)
    assert every.frame.height == 30
    for n in (1, 7, 30, 99):
        latest = read_outcome_rows(tmp_path, CONTRACT, matured_before=NOW, latest_rows=n)
        assert latest.frame.equals(every.frame.tail(n))
        assert latest.prediction_id == every.prediction_id[-n:]
        assert latest.lost_rows == 0


def test_without_outcomes_there_are_no_rows(tmp_path: Path) -> None:
    log_rows(tmp_path, [student(1)])
    found = read_outcome_rows(tmp_path, CONTRACT, matured_before=NOW)
    assert {name: str(dtype) for name, dtype in found.frame.schema.items()} == {
        "age": "Int64", "income": "Float64", "member": "Boolean", "country": "String", "note": "String",
        "joined": "Datetime(time_unit='us', time_zone='UTC')", "churned": "Int8",
    }  # fmt: skip
    assert found.frame.is_empty()


@pytest.mark.parametrize("how", ["omit", "hash"])
def test_a_log_that_keeps_columns_back_teaches_nothing(how: str) -> None:
    with pytest.raises(DataError, match=rf"keeps back note \({how}\)"):
        require_whole_rows(PredictionLogConfig.model_validate({how: ["note"]}))
