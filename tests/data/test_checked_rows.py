from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tabloop.config.data import DataConfig, ReadingLimits
from tabloop.contract.contract import Contract
from tabloop.data import checked_rows
from tabloop.data import quarantine as quarantine_file
from tabloop.data.checked_rows import check_rows, read_checked_rows
from tabloop.data.dataset import read_dataset
from tabloop.data.open_source import open_source
from tabloop.data.quarantine import Quarantine
from tabloop.data.row_source import Chunk

CONTRACT = Contract.from_dict({"columns": {"x": {"type": "number"}}, "target": {"name": "y"}})


def config(path: Path, **settings: Any) -> DataConfig:
    source = {"kind": "csv", "path": str(path)} | settings.pop("source", {})
    return DataConfig.model_validate({"source": source, "target": {"name": "y"}, **settings})


def test_slices_change_nothing_and_quarantine_keeps_the_order_of_the_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("x,y\n" + "".join(["1,1\n", "a,0\n", "3\n", '"4,1\n'][i % 4] for i in range(400)))
    found = []
    for slice_rows in (50_000, 7):
        monkeypatch.setattr(checked_rows, "_SLICE_ROWS", slice_rows)
        file = io.BytesIO()
        dataset = read_dataset(config(path), CONTRACT, Path(), quarantine_file=file)
        lines = [json.loads(line)["line"] for line in file.getvalue().splitlines()]
        assert lines == sorted(lines)
        found.append((dataset.frame.rows(), dataset.quarantine.reasons, file.getvalue()))
    assert found[0] == found[1]
    assert found[0][1] == {"x: type": 100, "(row): fields": 100, "(row): quotes": 100}


def test_what_was_read_stands_beside_what_it_means(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('x,y,note\n"1,5",1,a\n"x",0,b\n"2,5",0,\n')
    settings = config(path, source={"decimal_comma": True}, ignore=["note"])
    quarantine = Quarantine()
    rows = open_source(settings.source, Path(), CONTRACT)
    (checked,) = read_checked_rows(rows, settings, CONTRACT, quarantine, with_target=True)
    assert checked.typed.rows() == [(1.5, 1), (2.5, 0)]
    assert checked.as_read.rows() == [("1,5", "1", "a"), ("2,5", "0", None)]
    assert (quarantine.rows, quarantine.reasons) == (1, {"x: type": 1})


def test_a_row_without_its_key_is_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0, None], "y": [0, 1, 0], "id": [7, None, None]})
    quarantine = Quarantine()
    lines = pl.Series([1, 2, 3]).to_numpy()
    checked = check_rows(Chunk(frame, lines), CONTRACT, quarantine, with_target=True, key=["id"])
    assert (checked.typed.rows(), checked.places.tolist()) == ([(1.0, 0)], [0])
    assert (quarantine.rows, quarantine.reasons) == (2, {"x: null": 1, "id: null": 1})


def test_the_quarantine_stops_at_its_size_and_counts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_file, "MOST_BYTES", 1024)
    file = io.BytesIO()
    quarantine = Quarantine(ReadingLimits(), file)
    frame = pl.DataFrame({"x": ["a"] * 100, "y": ["1"] * 100})
    lines = pl.arange(1, 101, eager=True).to_numpy()
    for _ in range(2):
        check_rows(Chunk(frame, lines), CONTRACT, quarantine, with_target=True)
    assert (quarantine.rows, quarantine.reasons) == (200, {"x: type": 200})
    written = file.getvalue().splitlines()
    assert 0 < len(file.getvalue()) <= 1024
    assert f"the first {len(written):,} of them are written down" in quarantine.describe()
