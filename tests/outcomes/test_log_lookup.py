from __future__ import annotations

import random
from pathlib import Path

import msgspec
import polars as pl
import pytest

from tabloop.artifacts.prediction_log.folder import rotated_files
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.config.data import DataConfig
from tabloop.config.loading import Project
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.outcomes import log_lookup
from tabloop.outcomes.log_lookup import LogLookup


class Nothing(msgspec.Struct):
    """A row without features."""


@pytest.fixture
def config(default_project: Project) -> DataConfig:
    return default_project.config.data


@pytest.fixture
def ids(tmp_path: Path) -> list[str]:
    """The predictions of a log of several files and two runs."""
    found: list[str] = []
    draw = random.Random(1)
    with PredictionLogWriter(tmp_path, PredictionLogConfig(rotate_bytes=40_000)) as log:
        for batch in range(60):
            probability = [draw.random() for _ in range(20)]
            label = [int(p > 0.5) for p in probability]
            run_id = f"run-{batch % 3 % 2}"
            rows = [Nothing()] * 20
            found += log.append(rows, probability, label, run_id=run_id, threshold=0.5).prediction_ids
    assert len(rotated_files(tmp_path)) >= 3
    return found


def test_a_log_that_is_read_once_says_what_looking_up_says(
    tmp_path: Path, ids: list[str], config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = "01936f2a-1234-7800-8000-002a00000001"
    asked = [*ids[100:900:3], unknown, ids[5].upper(), "no id"]
    random.Random(2).shuffle(asked)
    path = tmp_path / "outcomes.csv"
    pl.DataFrame({"prediction_id": asked, "label": [1] * len(asked)}).write_csv(path)
    reader = PredictionLogReader(tmp_path, [])
    whole = [name.lower() for name in asked if name != "no id"]
    expected = reader.find(whole)
    assert len(expected) == len(whole) - 1
    assert LogLookup(reader, path, config)(whole) == expected  # few: looked up by themselves
    monkeypatch.setattr(log_lookup, "_FEW_IDS", 10)
    lookup = LogLookup(reader, path, config)
    assert lookup(whole[:50]) == reader.find(whole[:50])
    for file in rotated_files(tmp_path):  # it has read what it needs
        file.path.unlink()
    assert lookup(whole) == expected
    assert {found.run_id for found in expected.values()} == {"run-0", "run-1"}


def test_files_that_cannot_hold_an_outcome_are_not_opened(
    tmp_path: Path, ids: list[str], config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_lookup, "_FEW_IDS", 10)
    path = tmp_path / "outcomes.csv"
    pl.DataFrame({"prediction_id": ids[:100], "label": [0] * 100}).write_csv(path)
    reader = PredictionLogReader(tmp_path, [])
    opened: list[bool] = []
    scan = reader.scan

    def noted(keep: object, may_hold: object) -> object:
        def told(first: str, last: str) -> bool:
            opened.append(may_hold(first, last))  # type: ignore[operator]
            return opened[-1]

        return scan(keep, told)  # type: ignore[arg-type]

    monkeypatch.setattr(reader, "scan", noted)
    assert len(LogLookup(reader, path, config)(ids[:100])) == 100
    assert opened[0]
    assert not opened[-1]
