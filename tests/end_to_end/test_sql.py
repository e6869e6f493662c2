"""The commands of a person whose rows are in a database."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import polars as pl
import pytest
import yaml

from tabloop.config.data import CsvSource
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.data.load import load_table
from tabloop.data.sql.address import parse_address
from tests.conftest import Workspace, make_workspace
from tests.data.sql.databases import EVERY, MARIADB, URL_ENV, Database, own_database, require_server
from tests.repository.test_documentation import run_page
from tests.shown import shown_block

SINK = {"kind": "sql", "url_env": URL_ENV, "table": "scores", "key": ["id"]}


@pytest.fixture
def project(trained: Workspace, tmp_path: Path) -> Workspace:
    """A released model, and two thousand students to score, each with an id."""
    shutil.copytree(trained.folder, tmp_path / "project", symlinks=True)
    workspace = Workspace(tmp_path / "project")
    rows = sample_rows(workspace.project().contract, 2000, seed=3)
    rows.with_columns(pl.Series("id", range(2000))).write_csv(workspace.folder / "march.csv")
    workspace.change(
        data={"source": {"kind": "sql", "url_env": URL_ENV, "table": "students", "key": ["id"]}},
        scoring={"sink": SINK},
    )
    return workspace


@pytest.fixture(params=EVERY)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with own_database(request.param, tmp_path) as made:
        yield made


def environ(database: Database) -> dict[str, str]:
    return {URL_ENV: database.url}


SELECT = "SELECT id, predicted_purchase_probability, predicted_purchase FROM scores ORDER BY id"


def load(workspace: Workspace, database: Database, file: str = "march.csv") -> None:
    """Make the table `students` of a file, as `tabloop data load` does."""
    project, path = workspace.project(), workspace.folder / file
    config = project.config.data.model_copy(update={"source": CsvSource(kind="csv", path=file)})
    key = ["id"] if file == "march.csv" else []
    address = parse_address(database.url, where="test")
    load_table(config, project.contract, path, address, table="students", key=key)


def test_a_loaded_table_is_scored_into_another(project: Workspace, database: Database) -> None:
    loading = project.run(
        "data", "load", "march.csv", "--to", f"env:{URL_ENV}", "--table", "students", "--key", "id", "--json",
        environ=environ(database),
    )  # fmt: skip
    assert loading.code == 0, loading.err
    assert json.loads(loading.out)["loaded"] == 2000
    arguments = ["table:students"] if database.kind == "postgresql" else []
    outcome = project.run("score", *arguments, "--sink", "--json", environ=environ(database))
    assert outcome.code == 0, outcome.err
    report = json.loads(outcome.out)
    assert (report["read"], report["scored"], report["quarantined"]) == (2000, 2000, 0)
    rows = pl.read_csv(project.folder / "march.csv", null_values=[])
    probability = joblib.load(project.model_dir / "best_model.joblib").predict_proba(rows)[:, 1]
    threshold = float((project.model_dir / "threshold.txt").read_text())
    answers = database.execute(SELECT)
    assert [row[0] for row in answers] == list(range(2000))
    np.testing.assert_allclose([row[1] for row in answers], probability, atol=2e-6)
    assert [row[2] for row in answers] == [int(row[1] >= threshold) for row in answers]
    assert database.execute("SELECT DISTINCT run_id FROM scores") == [(report["run_id"],)]


@pytest.mark.parametrize("kind", EVERY)
def test_the_query_of_the_page_reads_the_rows_it_asks_for(
    trained_copy: Workspace, tmp_path: Path, kind: str
) -> None:
    contract = trained_copy.project().contract
    kinds = {"category": "VARCHAR(8)", "integer": "INTEGER", "number": "DOUBLE PRECISION"}
    columns = {name: kinds[column.type] for name, column in contract.columns.items()}
    columns |= {
        "purchased": "INTEGER",
        "student_id": "INTEGER",
        "registered_on": "DATE",
        "campaign": "VARCHAR(20)",
    }
    rows = sample_rows(contract, 40, seed=1).select(list(contract.columns)).rows()
    with own_database(kind, tmp_path) as database:
        database.execute(
            f"CREATE TABLE students ({', '.join(f'{name} {kind}' for name, kind in columns.items())})",
            *(
                f"INSERT INTO students VALUES ({', '.join(map(repr, row))}, {place % 3 % 2}, {place}, "
                f"'202{5 + place % 2}-06-01', '{'spring' if place < 30 else 'autumn'}')"
                for place, row in enumerate(rows)
            ),
        )
        trained_copy.change(**yaml.safe_load(shown_block("docs/sql.md", "data:\n  source:\n    kind: sql")))
        outcome = trained_copy.run("data", "check", "--json", environ={"SHOP_URL": database.url})
        assert outcome.code == 0, outcome.err
        assert json.loads(outcome.out)["read"] == 15  # of 30 in spring every second registered in 2025


@pytest.fixture
def small(tmp_path: Path, students: pl.DataFrame) -> Workspace:
    """A config that is quick to train, and its rows."""
    (tmp_path / "small").mkdir()
    workspace = make_workspace(tmp_path / "small", students)
    workspace.change(training={"candidates": {"decision_tree": {}}})
    return workspace


@pytest.mark.parametrize("kind", EVERY)
def test_a_loaded_table_keeps_the_columns_of_split_and_weight(
    small: Workspace, tmp_path: Path, kind: str
) -> None:
    """Training from the table gives the dataset, the split and the figures that the file gives."""
    path = small.folder / "data" / "ml_datasource.csv"
    rows = pl.read_csv(path, null_values=[])
    number = pl.int_range(rows.height)
    marked = rows.with_columns(
        (number % 90).cast(pl.String).replace("7", None).alias("school"),
        (number % 5 / 4).alias("persons"),
    )
    marked.write_csv(path)
    small.change(data={"split": {"kind": "group", "column": "school"}, "weight": "persons"})
    from_file = small.run("train", "--json")
    assert from_file.code == 0, from_file.err
    with own_database(kind, tmp_path) as database:
        env = environ(database)
        arguments = ("data", "load", "data/ml_datasource.csv", "--to", f"env:{URL_ENV}")
        loaded = small.run(*arguments, "--table", "students", environ=env)
        assert loaded.code == 0, loaded.err
        (schools, persons), *_ = database.execute("SELECT COUNT(school), SUM(persons) FROM students")
        assert schools == marked["school"].count()
        assert persons == pytest.approx(marked["persons"].sum())
        small.change(data={"source": {"kind": "sql", "url_env": URL_ENV, "table": "students"}})
        from_table = small.run("train", "--json", environ=env)
        assert from_table.code == 0, from_table.err
    runs = [small.model_dir / "runs" / json.loads(each.out)["run_id"] for each in (from_file, from_table)]
    first, second = (json.loads((run / "metrics.json").read_text()) for run in runs)
    assert second | {"run_id": "", "cv_ranking": []} == first | {"run_id": "", "cv_ranking": []}
    assert first["calibration"]["bound"] == "korn_graubard"


def test_rows_to_train_on_without_the_column_of_their_split_are_not_loaded(
    small: Workspace, tmp_path: Path
) -> None:
    small.change(data={"split": {"kind": "group", "column": "school"}})
    with own_database("sqlite", tmp_path) as database:
        arguments = (
            "data",
            "load",
            "data/ml_datasource.csv",
            "--to",
            f"env:{URL_ENV}",
            "--table",
            "students",
        )
        refused = small.run(*arguments, environ=environ(database))
        assert refused.code == 2
        assert "column school: missing" in refused.err
        # rows to be scored have neither target nor group
        path = small.folder / "data" / "ml_datasource.csv"
        pl.read_csv(path, null_values=[]).drop("purchased").write_csv(path)
        loaded = small.run(*arguments, environ=environ(database))
        assert loaded.code == 0, loaded.err


def test_a_run_on_a_table_is_reproduced_until_a_row_changes(small: Workspace, tmp_path: Path) -> None:
    with own_database("postgresql", tmp_path) as database:
        env = environ(database)
        load(small, database, "data/ml_datasource.csv")
        small.change(
            data={"source": {"kind": "sql", "url_env": URL_ENV, "query": "SELECT * FROM students WHERE 1 = :one",
                             "parameters": {"one": 1}}}
        )  # fmt: skip
        trained = small.run("run", "--json", environ=env)
        assert trained.code == 0, trained.err
        lineage = json.loads((small.model_dir / "champion" / "lineage.json").read_text())
        assert set(lineage["dataset"]) == {"database", "query_sha256", "sha256"}
        assert lineage["dataset"]["database"] == "postgresql://127.0.0.1:5432/test"
        # the same rows in another database, in another order, are the same rows
        with own_database("mariadb", tmp_path) as other:
            shuffled = pl.read_csv(small.folder / "data" / "ml_datasource.csv", null_values=[]).sample(
                fraction=1, shuffle=True, seed=1
            )
            shuffled.write_csv(small.folder / "shuffled.csv")
            load(small, other, "shuffled.csv")
            again = small.run("reproduce", "--retrain", environ=environ(other))
            assert again.code == 0, again.err
        database.execute("UPDATE students SET minutes_watched = minutes_watched + 0.1 WHERE ctid = '(0,1)'")
        changed = small.run("reproduce", environ=env)
        assert changed.code == 1
        assert "postgresql://127.0.0.1:5432/test: got sha256" in changed.err
        database.execute("ALTER TABLE students DROP COLUMN minutes_watched")
        gone = small.run("reproduce", environ=env)
        assert gone.code == 1
        assert "column minutes_watched: missing" in gone.err


TWO_ROWS_A_TRANSACTION = """
from tabloop.cli import main
from tabloop.data.sql import sink
sink._BATCH_ROWS = 2
main()
"""


@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "sqlite"])
def test_whoever_kills_a_scoring_and_starts_again_finds_each_key_once(
    project: Workspace, kind: str, tmp_path: Path
) -> None:
    with own_database(kind, tmp_path) as database:
        env = environ(database)
        project.change(data={"ignore": ["id"]})
        slow = [
            sys.executable, "-c", TWO_ROWS_A_TRANSACTION, "score", "march.csv", "--sink",
        ]  # fmt: skip
        process = subprocess.Popen(
            slow, cwd=project.folder, env=os.environ | env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        there = 0
        deadline = time.monotonic() + 120
        while there < 20 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
            with contextlib.suppress(Exception):  # it is not made yet
                there = database.execute("SELECT count(*) FROM scores")[0][0]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        left = database.execute("SELECT count(*), count(DISTINCT id) FROM scores")[0]
        assert 0 < left[0] < 2000
        assert left[0] == left[1]
        assert left[0] % 2 == 0  # whole transactions
        again = project.run("score", "march.csv", "--sink", environ=env)
        assert again.code == 0, again.err
        assert database.execute(
            "SELECT count(*), count(DISTINCT id), count(DISTINCT scored_at) FROM scores"
        ) == [(2000, 2000, 1)]


def test_rows_without_a_key_are_refused_and_rows_that_share_one_are_told(
    project: Workspace, tmp_path: Path
) -> None:
    env = {URL_ENV: f"sqlite:///{tmp_path / 'x.db'}"}
    project.change(data={"ignore": ["id"]})
    lines = (project.folder / "march.csv").read_text().splitlines()
    lines[2] = lines[2].rpartition(",")[0] + ","
    lines[3] = lines[3].rpartition(",")[0] + ",7"
    (project.folder / "march.csv").write_text("\n".join(lines) + "\n")
    outcome = project.run("score", "march.csv", "--sink", "--json", environ=env)
    assert outcome.code == 2
    assert "1 rows of the input have the key (id) of another row" in outcome.err
    report = json.loads(outcome.out)
    assert (report["scored"], report["quarantined"], report["reasons"]) == (1999, 1, {"id: null": 1})
    (refused,) = (project.folder / "scores.quarantine.jsonl").read_text().splitlines()
    assert json.loads(refused)["line"] == 3
    assert Database("sqlite", env[URL_ENV]).execute("SELECT count(*) FROM scores") == [(1998,)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data", "check"], "the environment variable TABLOOP_TEST_DATABASE is not set"),
        (["train"], "the environment variable TABLOOP_TEST_DATABASE is not set"),
        (["score", "march.csv"], "give either --output or --sink"),
        (["score", "march.csv", "--sink", "--output", "x.csv"], "give either --output or --sink"),
        (["score", "march.csv", "--sink", "--set", "scoring.sink={kind: none}"], "scoring.sink: is not set"),
        (
            ["data", "check", "table:x", "--set", "data.source={kind: csv, path: x.csv}"],
            "data.source is no database",
        ),
        (
            ["data", "load", "march.csv", "--to", "postgresql://ann:hunter2@h/x"],
            "the URL holds a password, which other people see",
        ),
        (["data", "load", "march.csv", "--to", "env:NOWHERE"], "variable NOWHERE is not set"),
        (["data", "load", "march.csv", "--to", "march.db"], "--to: holds no URL of a database"),
        (
            ["data", "check", "--set", "data.source.url_env='postgresql://ann:hunter2@h/x'"],
            "data.source.url_env: expected the name of an environment variable",
        ),
        (
            ["data", "check", "--set", "data.source.query='SELECT 1'"],
            "give either table or query",
        ),
        (["data", "check", "--set", "data.source.path=x.db"], "give either url_env or path"),
    ],
)
def test_what_is_wrong_is_said_and_no_secret_is_shown(
    project: Workspace, arguments: list[str], said: str
) -> None:
    outcome = project.run(*arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert "hunter2" not in outcome.err + outcome.out
    assert not list((project.model_dir / "runs").glob("*.tmp"))


def test_a_file_of_the_config_is_relative_to_it(project: Workspace, tmp_path: Path) -> None:
    made = Database("sqlite", f"sqlite:///{project.folder / 'shop.db'}")
    load(project, made)
    project.change(
        data={"source": {"kind": "sql", "path": "shop.db", "table": "students"}},
        scoring={"sink": {"kind": "sql", "path": "shop.db", "table": "scores", "key": ["id"]}},
    )
    config = str(project.config_path)
    elsewhere = Workspace(tmp_path)
    assert elsewhere.run("score", "--sink", "--config", config).code == 0
    # answers beside the rows, in the file that was read
    assert made.execute("SELECT count(*) FROM scores JOIN students USING (id)") == [(2000,)]


def test_a_loading_that_is_killed_leaves_no_half_table(project: Workspace, tmp_path: Path) -> None:
    require_server(MARIADB)
    with own_database("mariadb", tmp_path) as database:
        env = environ(database)
        rows = sample_rows(project.project().contract, 40_000, seed=4)
        rows.write_csv(project.folder / "many.csv")
        command = ["data", "load", "many.csv", "--to", f"env:{URL_ENV}", "--table", "students"]
        process = subprocess.Popen(
            [sys.executable, "-c", "from tabloop.cli import main; main()", *command],
            cwd=project.folder, env=os.environ | env, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        tables: list[str] = []
        while not tables and process.poll() is None:
            tables = [name for (name,) in database.execute("SHOW TABLES")]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert tables == ["students_tabloop_loading"]
        again = project.run(*command, environ=env)
        assert again.code == 0, again.err
        assert database.execute("SHOW TABLES") == [("students",)]
        assert database.execute("SELECT count(*) FROM students") == [(40_000,)]


def test_the_page_runs(tmp_path: Path) -> None:
    run_page(Workspace(tmp_path), "docs/sql.md")
