"""`tabloop explain` says why, for each row that is answered."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tests.conftest import Workspace

from tabloop.artifacts.run import RunFolder
from tabloop.errors import ArtifactError
from tabloop.explanation.row_explainer import row_explainer
from tabloop.inference.scoring_service import load_service


def test_reasons_are_printed_written_and_given_as_json(trained_copy: Workspace) -> None:
    rows = pl.read_csv(trained_copy.folder / "data" / "ml_datasource.csv")[:8]
    rows = rows.with_columns(
        days_on_platform=pl.when(pl.int_range(8) == 1).then(-5).otherwise("days_on_platform")
    )
    rows.write_csv(trained_copy.folder / "rows.csv")
    allowed = ("--set", "data.max_quarantine_fraction=0.5")
    shown = trained_copy.run("explain", "rows.csv", "--rows", "2", "--most", "2", *allowed)
    assert shown.code == 0, shown.err
    assert "1 refused rows are left out" in shown.out
    assert [line.split(":")[0] for line in shown.out.splitlines() if line.startswith("row")] == [
        "row 1",
        "row 3",
    ]
    assert shown.out.count("other columns together") == 2
    as_json = trained_copy.run("explain", "rows.csv", "--json", *allowed)
    found = json.loads(as_json.out)
    assert [row["row"] for row in found["rows"]] == [1, 3, 4, 5, 6]
    written = trained_copy.run("explain", "rows.csv", "--output", "why.csv", *allowed)
    assert "why.csv: 7 rows explained" in written.out
    table = pl.read_csv(trained_copy.folder / "why.csv")
    assert table["row"].to_list() == [1, 3, 4, 5, 6, 7, 8]
    for name, values in (
        (n, [row["contributions"][n] for row in found["rows"]]) for n in found["rows"][0]["contributions"]
    ):
        assert table[name][:5].to_list() == pytest.approx(values, abs=1e-12)


def test_a_scored_file_names_the_columns_that_spoke_most_for_each_decision(trained_copy: Workspace) -> None:
    rows = pl.read_csv(trained_copy.folder / "data" / "ml_datasource.csv")[:6]
    rows.write_csv(trained_copy.folder / "rows.csv")
    # more than there are columns: what no row has is a column of nulls
    scored = trained_copy.run("score", "rows.csv", "--output", "scored.csv", "--reasons", "9")
    assert scored.code == 0, scored.err
    table = pl.read_csv(trained_copy.folder / "scored.csv")
    explained = json.loads(trained_copy.run("explain", "rows.csv", "--rows", "6", "--json").out)["rows"]
    for row, why in zip(table.to_dicts(), explained, strict=True):
        sign = 1 if why["decision"] else -1
        towards = {name: sign * share for name, share in why["contributions"].items()}
        strongest = sorted(towards, key=lambda name: -towards[name])
        expected = [name if towards[name] > 0 else None for name in strongest]
        assert [row[f"reason_{place}"] for place in range(1, 10)] == [*expected, None, None]
    refused = trained_copy.run("score", "scored.csv", "--output", "again.csv", "--reasons", "1")
    assert refused.code == 2
    assert "reason_1" in refused.err


def test_what_cannot_be_explained_is_said(trained_copy: Workspace, tmp_path: Path) -> None:
    refused = trained_copy.run("explain", "no.csv")
    assert refused.code == 2
    assert "no.csv" in refused.err
    refused = trained_copy.run("explain", "--output", "why.txt")
    assert refused.code == 2
    assert "expected a name that ends in .csv, .parquet or .pq" in refused.err
    pl.read_csv(trained_copy.folder / "data" / "ml_datasource.csv")[:0].write_csv(
        trained_copy.folder / "empty.csv"
    )
    refused = trained_copy.run("explain", "empty.csv")
    assert refused.code == 2
    assert "empty.csv: has no row to explain; 0 were refused" in refused.err
    with pytest.raises(ArtifactError, match=r"has no explainer\.npz, which earlier versions did not write"):
        row_explainer(
            RunFolder.create(tmp_path / "run"),
            load_service(RunFolder((trained_copy.folder / "artifacts" / "champion").resolve())),
        )
