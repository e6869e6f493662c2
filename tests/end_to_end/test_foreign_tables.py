"""Tables that nobody wrote for tabloop: `init` must read them, and `run` must make a champion of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from tabloop.config.data import CsvSource
from tabloop.config.loading import Project, load_project
from tabloop.contract.columns import BooleanColumn, CategoryColumn, NumberColumn
from tabloop.optimization.benchmark import plan as benchmark_plan
from tests.conftest import Workspace


def breast_cancer(folder: Path) -> Path:
    """UTF-16 between bars, headers with spaces, in Greek, in Japanese and of YAML, the target first."""
    bunch = load_breast_cancer(as_frame=True)
    table = bunch.data.rename(
        columns={
            "mean area": "μέση έκταση",
            "mean symmetry": "対称性",
            "worst area": "a | b",
            "area error": "null",
        }
    )
    table.insert(0, "diagnosis", [str(bunch.target_names[kind]) for kind in bunch.target])
    table.to_csv(folder / "cancer.txt", sep="|", index=False, encoding="utf-16")
    return folder / "cancer.txt"


def iris(folder: Path) -> Path:
    """As a German spreadsheet writes it: semicolons, decimal commas, an id column without a name."""
    bunch = load_iris(as_frame=True)
    table = bunch.data.assign(Art=np.where(bunch.target == 2, "virginica", "andere"))
    table.columns = ["Kelchblattlänge", "Kelchblattbreite", "Blütenblattlänge", "Blütenblattbreite", "Art"]
    table.to_csv(folder / "iris.csv", sep=";", decimal=",", encoding="cp1252")
    return folder / "iris.csv"


def wine(folder: Path) -> Path:
    """Typed columns in Parquet, a boolean target, a leak, a column of nothing."""
    bunch = load_wine(as_frame=True)
    table = bunch.data.assign(is_first=bunch.target == 0)
    table = table.assign(cultivar=np.where(table.is_first, "one", "another"), remark=None)
    table.loc[::9, "ash"] = np.nan
    pl.DataFrame(table.to_dict("list"), strict=False).write_parquet(folder / "wine.parquet")
    return folder / "wine.parquet"


def fair(folder: Path) -> Path:
    """Half of it categories and `yes`/`no`, with missing values written in two ways."""
    from statsmodels.datasets import fair as dataset  # dear to import, and only here

    table = dataset.load_pandas().data.sample(1000, random_state=0)
    jobs = {
        1: "student",
        2: "unskilled",
        3: "white collar",
        4: "teacher, nurse",
        5: "manager",
        6: "professional",
    }
    table["affair"] = np.where(table.affairs > 0, "yes", "no")
    table["occupation"] = table.occupation.map(jobs)
    table["children"] = table.children.gt(0).map({True: "Yes", False: "No"})
    table = table.drop(columns="affairs")
    table.loc[table.index[::17], "occupation"] = "?"
    table["yrs_married"] = table.yrs_married.astype(str)
    table.loc[table.index[::13], "yrs_married"] = "NA"
    table.to_csv(folder / "fair.csv", index=False)
    return folder / "fair.csv"


def doctor_visits(folder: Path) -> Path:
    """Tabs, spaces around fields, a constant column, an id, unknown targets, broken lines."""
    from statsmodels.datasets import randhie

    table = randhie.load_pandas().data.sample(900, random_state=1).round(4)
    table["visited: ever?"] = table.mdvis.gt(0).map({True: "Y", False: "N"})
    table["visited: ever?"] = table["visited: ever?"].where(np.arange(900) % 30 != 0, "")
    table.insert(0, "person_id", [f"p{place * 7919 % 100_003:06}" for place in range(900)])
    table = table.drop(columns="mdvis").assign(survey="RAND HIE")
    lines = table.to_csv(sep="\t", index=False).replace("\t", " \t ").splitlines()
    (folder / "visits.tsv").write_text("\n".join([*lines[:500], "a broken\tline", *lines[500:]]) + "\n")
    return folder / "visits.tsv"


TABLES: dict[Callable[[Path], Path], tuple[str, str]] = {
    breast_cancer: ("diagnosis", "malignant"),
    iris: ("Art", "virginica"),
    wine: ("is_first", "true"),
    fair: ("affair", "yes"),
    doctor_visits: ("visited: ever?", "y"),
}


#: Where `run` also measures: names of every kind, and columns of every type that the others have.
MEASURED = (breast_cancer, fair)


def tabloop(folder: Path, *arguments: str) -> str:
    outcome = Workspace(folder).run(*arguments)
    assert outcome.code == 0, outcome.err
    return outcome.out


def begin(folder: Path, table: Callable[[Path], Path]) -> None:
    """Write the table and have `init` write its config, which has to be as it should."""
    file = table(folder)
    target, positive = TABLES[table]
    begun = json.loads(tabloop(folder, "init", file.name, "--target", target, "--json"))
    project = load_project(folder / "config.yaml", environ={})
    assert project.config.data.source.path == file.name
    assert project.config.data.target.positive_text.casefold() == positive.casefold()
    assert begun["guesses"]
    CHECKS[table](project)


@pytest.mark.parametrize("table", MEASURED, ids=lambda table: table.__name__)
def test_init_guesses_the_tables_that_the_soak_runs(tmp_path: Path, table: Callable[[Path], Path]) -> None:
    begin(tmp_path, table)


@pytest.mark.parametrize(
    "table",
    [pytest.param(table, marks=[pytest.mark.soak] if table in MEASURED else []) for table in TABLES],
    ids=lambda table: table.__name__,
)
def test_init_and_run_make_a_champion(
    tmp_path: Path, table: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark_plan, "_MOST_CALLS", 5)  # what can be measured is asked, not how fast it is
    begin(tmp_path, table)
    settings = (
        "training.candidates.random_forest.n_estimators=20",
        f"training.keep={'winner' if table in MEASURED else 'all'}",
        "cv.n_splits=3",
        "benchmarking.repeated_runs=3",
        f"benchmarking.in_run={'quick' if table in MEASURED else 'none'}",
        "release.load_test_s=0.1",
        "release.max_wait_p99_ms=60000",  # up to what else the machine does
    )
    quick = [word for setting in settings for word in ("--set", setting)]
    run = json.loads(tabloop(tmp_path, "run", *quick, "--json"))
    assert run["release"]["promoted"]
    champion = tmp_path / "artifacts" / "champion"
    assert (champion / "best_model.joblib").is_file()
    assert (champion / "tradeoffs.html").is_file() == (table in MEASURED)
    failures = [c["name"] for c in run["metrics"]["cv_ranking"] if c["failure"] is not None]
    assert failures == []


def check_cancer(project: Project) -> None:
    source = project.config.data.source
    assert isinstance(source, CsvSource)
    assert (source.separator, source.encoding) == ("|", "utf-16")
    assert project.config.data.ignore == ()
    assert len(project.contract.numeric_features) == 30
    assert {"μέση έκταση", "対称性", "a | b", "null", "mean radius"} <= set(project.contract.columns)


def check_iris(project: Project) -> None:
    source = project.config.data.source
    assert isinstance(source, CsvSource)
    assert (source.separator, source.encoding) == (";", "cp1252")
    length = project.contract.columns["Kelchblattlänge"]
    assert isinstance(length, NumberColumn)
    assert length.decimal_mark == ","
    assert project.config.data.ignore == ("",)
    assert project.contract.numeric_features[0] == "Kelchblattlänge"


def check_wine(project: Project) -> None:
    assert set(project.config.data.ignore) == {"cultivar", "remark"}
    assert project.contract.columns["ash"].nullable
    assert isinstance(project.contract.columns["proline"], NumberColumn)


def check_fair(project: Project) -> None:
    columns = project.contract.columns
    married, job = columns["yrs_married"], columns["occupation"]
    assert isinstance(married, NumberColumn)
    assert married.null_values == ("NA",)
    assert isinstance(job, CategoryColumn)
    assert job.null_values == ("?",)
    assert "teacher, nurse" in (job.categories or ())
    assert isinstance(columns["children"], BooleanColumn)


def check_visits(project: Project) -> None:
    source = project.config.data.source
    assert isinstance(source, CsvSource)
    assert (source.separator, source.strip_spaces) == ("\t", True)
    assert project.config.data.ignore == ("person_id", "survey")
    assert project.config.data.target.answer_name == "visited_ever"
    assert project.config.data.max_quarantine_fraction == 0.05


CHECKS: dict[Callable[[Path], Path], Callable[[Project], None]] = {
    breast_cancer: check_cancer,
    iris: check_iris,
    wine: check_wine,
    fair: check_fair,
    doctor_visits: check_visits,
}
