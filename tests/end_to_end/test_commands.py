from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import polars as pl
import pytest

from tabloop.artifacts.store import RunStore
from tabloop.optimization.benchmark import plan as benchmark_plan
from tabloop.optimization.benchmark import run_benchmark as benchmark
from tests.conftest import Outcome, Workspace


@pytest.fixture
def quick_workspace(workspace: Workspace) -> Workspace:
    """A workspace that trains in a moment, for tests of what happens around the training."""
    # of so few rows no drift is looked for
    workspace.change(training={"candidates": {"logistic_regression": {}}}, monitoring={"reference_rows": 100})
    return workspace


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def artifact(workspace: Workspace, name: str) -> Any:
    return json.loads((workspace.model_dir / "champion" / name).read_bytes())


def test_a_run_leaves_a_hashed_sealed_champion(trained: Workspace) -> None:
    metrics, lineage = artifact(trained, "metrics.json"), artifact(trained, "lineage.json")
    assert {"run_id", "best_model_name", "calibration", "accuracy", "roc_auc", "precision", "recall", "f1",
            "cv_ranking"} <= set(metrics)  # fmt: skip
    assert {
        "type",
        "target_precision",
        "confidence",
        "threshold",
        "feasible",
        "precision_lower_bound",
    } <= set(metrics["calibration"])
    assert metrics["run_id"] == lineage["run_id"] == (trained.model_dir / "champion").readlink().name
    for name in ("dataset", "config", "contract", "model", "threshold"):
        assert sha256(trained.folder / lineage[name]["path"]) == lineage[name]["sha256"]
    rows = lineage["rows"]
    assert rows["read"] == rows["quarantined"] + rows["training"] + rows["test"] == 2000
    assert artifact(trained, "manifest.json")["state"] == "passed"
    assert artifact(trained, "gates.json")["passed"] is True


def test_the_familiar_paths_lead_to_the_champion(trained: Workspace) -> None:
    for name in (
        "best_model.joblib",
        "threshold.txt",
        "metrics.json",
        "drift_baseline.json",
        "model_card.md",
    ):
        assert (trained.model_dir / name).resolve() == (trained.model_dir / "champion" / name).resolve()


def test_the_saved_model_and_threshold_give_the_reported_figures(
    trained: Workspace, students: pl.DataFrame
) -> None:
    metrics = artifact(trained, "metrics.json")
    pipeline = joblib.load(trained.model_dir / "best_model.joblib")
    threshold = float((trained.model_dir / "threshold.txt").read_text())
    assert threshold == metrics["calibration"]["threshold"]
    from tabloop.data.split import split_dataset

    test = split_dataset(students, "purchased", test_size=0.2, seed=42).test
    y_pred = pipeline.predict_proba(test)[:, 1] >= threshold
    hits = int((y_pred & (test["purchased"].to_numpy() == 1)).sum())
    assert (hits, int(y_pred.sum())) == (
        metrics["test_true_positive_rows"],
        metrics["test_predicted_positive_rows"],
    )


def test_the_drift_baseline_describes_the_training_rows(trained: Workspace, students: pl.DataFrame) -> None:
    baseline = artifact(trained, "drift_baseline.json")
    from tabloop.data.split import split_dataset

    train = split_dataset(students, "purchased", test_size=0.2, seed=42).train
    days = baseline["numeric"]["days_on_platform"]
    assert days["mean"] == pytest.approx(train["days_on_platform"].mean())
    assert days["std"] == pytest.approx(float(np.std(train["days_on_platform"].to_numpy())))
    assert sum(days["histogram"]["counts"]) == train.height == baseline["rows"]
    assert "engagement_score" in baseline["numeric"]
    assert sum(baseline["categories"]["student_country"]["counts"].values()) == train.height
    assert baseline["training_positive_rate"] == pytest.approx(train["purchased"].mean())


def test_a_run_goes_on_without_a_winner_that_cannot_be_exported(workspace: Workspace) -> None:
    """Its converter managed the 200 rows of the trial: all of them it does not."""
    winner = {
        "kind": "estimator",
        "import_path": "sklearn.neighbors.KNeighborsClassifier",
        "parameters": {"n_neighbors": 50},
        "exporter": "tests.training.failing_classifiers:export_of_few_rows",
    }
    stump = {"kind": "decision_tree", "max_depth": 1}
    workspace.change(training={"candidates": {"neighbors": winner, "stump": stump}})
    done = workspace.run("run")
    assert done.code == 0, done.err
    said = "exporter export_of_few_rows: RuntimeError: more rows than I can convert"
    assert f"neighbors is passed over, since it cannot be exported: {said}" in done.out
    assert "stump wins" in done.out
    metrics = artifact(workspace, "metrics.json")
    assert metrics["best_model_name"] == "stump"
    assert [each.get("no_graph") for each in metrics["cv_ranking"]] == [None, said]
    card = (workspace.model_dir / "model_card.md").read_text()
    assert "| neighbors (no graph) |" in card
    assert f"- neighbors could not be exported: {said}" in card
    assert workspace.run("reproduce").code == 0


def test_a_run_is_listed_as_broken_whatever_is_wrong_with_it(trained_copy: Workspace) -> None:
    (run,) = json.loads(trained_copy.run("runs", "--json").out)["runs"]
    assert run["size_bytes"] > 10_000
    metrics = trained_copy.model_dir / "runs" / run["run_id"] / "metrics.json"
    metrics.chmod(0o644)
    metrics.write_text("{}")
    (trained_copy.model_dir / "runs" / "empty").mkdir()
    listed = trained_copy.run("runs", "--json")
    assert listed.code == 0
    told = json.loads(listed.out)
    assert told["runs"] == []
    assert [word in said for word, said in zip(("empty", run["run_id"]), told["broken"], strict=True)] == [
        True, True,
    ]  # fmt: skip
    assert trained_copy.run("runs").out.count("broken: ") == 2


def test_a_stage_without_a_run_takes_the_champion_and_says_where_its_result_went(
    trained_copy: Workspace,
) -> None:
    (run,) = json.loads(trained_copy.run("runs", "--json").out)["runs"]
    for stage, name in (("export", "export_report.json"), ("parity", "parity_report.json")):
        outcome = trained_copy.run(stage, "--json")
        assert outcome.code == 0, outcome.err
        path = trained_copy.folder / json.loads(outcome.out)["path"]
        assert path == trained_copy.model_dir / "reports" / run["run_id"] / name
        assert path.exists()
    # beside the sealed run, which stays as it was
    assert trained_copy.run("reproduce").code == 0


def test_runs_are_listed_shown_and_compared(trained: Workspace) -> None:
    listed = trained.run("runs")
    assert listed.code == 0
    assert "* the champion" in listed.out
    (run,) = json.loads(trained.run("runs", "--json").out)["runs"]
    shown = json.loads(trained.run("runs", "show", run["run_id"][:12], "--json").out)
    assert shown["metrics"]["run_id"] == run["run_id"]
    assert "## The promise" in trained.run("runs", "show").out
    same = trained.run("runs", "diff", run["run_id"], run["run_id"])
    assert (same.code, "no difference" in same.out) == (0, True)


def test_training_again_gives_the_same_and_a_difference_is_seen(trained_copy: Workspace) -> None:
    outcome = trained_copy.run("reproduce", "--retrain")
    assert outcome.code == 0, outcome.err
    assert "the same metrics and predictions" in outcome.out
    lenient = ("--set", "release.roc_auc_margin=1", "--set", "release.brier_margin=1")
    quick = ("--set", "training.candidates={decision_tree: {}}", "--set", "seed=7")
    assert trained_copy.run("run", *quick, *lenient).code == 0
    first, second = (run.run_id for run in RunStore(trained_copy.model_dir).runs())
    differences = json.loads(trained_copy.run("runs", "diff", first, second, "--json").out)["differences"]
    assert differences["config.seed"] == {"first": 42, "second": 7}
    assert "roc_auc" in differences


def test_reproduce_names_what_changed(trained_copy: Workspace) -> None:
    champion = (trained_copy.model_dir / "champion").resolve()
    data = trained_copy.folder / "data" / "ml_datasource.csv"
    original = data.read_bytes()
    data.write_bytes(original + b"\n")
    outcome = trained_copy.run_process("reproduce")
    assert outcome.code == 1
    assert "ml_datasource.csv: got sha256" in outcome.err
    data.write_bytes(original)
    assert trained_copy.run("reproduce").code == 0
    threshold = champion / "threshold.txt"
    threshold.chmod(0o644)
    threshold.write_text("0.1\n")
    outcome = trained_copy.run("reproduce", "--json")
    assert outcome.code == 1
    assert json.loads(outcome.out)["error"]["type"] == "HashMismatchError"
    assert "threshold.txt" in outcome.err


def test_a_manifest_rewritten_to_hide_a_change_is_seen(trained_copy: Workspace) -> None:
    champion = (trained_copy.model_dir / "champion").resolve()
    for name, content in (("threshold.txt", b"0.1\n"),):
        (champion / name).chmod(0o644)
        (champion / name).write_bytes(content)
        manifest = json.loads((champion / "manifest.json").read_bytes())
        manifest["files"][name]["sha256"] = hashlib.sha256(content).hexdigest()
        (champion / "manifest.json").chmod(0o644)
        (champion / "manifest.json").write_text(json.dumps(manifest))
    outcome = trained_copy.run("reproduce")
    assert outcome.code == 1
    assert "decisions.jsonl recorded" in outcome.err


def test_a_floor_refuses_seals_and_keeps_the_old_champion(trained_copy: Workspace) -> None:
    champion = (trained_copy.model_dir / "champion").readlink()
    quick = ("--set", "training.candidates={decision_tree: {}}")
    outcome = trained_copy.run("run", *quick, "--set", "release.min_roc_auc=0.9999")
    assert outcome.code == 1
    assert "quality: test ROC-AUC is" in outcome.err
    assert (trained_copy.model_dir / "champion").readlink() == champion
    newest = RunStore(trained_copy.model_dir).runs()[-1]
    assert newest.state == "refused"
    again = trained_copy.run("release", newest.run_id)
    assert again.code == 2
    assert "its gates refused it" in again.err
    decisions = [
        json.loads(line) for line in (trained_copy.model_dir / "decisions.jsonl").read_text().splitlines()
    ]
    assert [d["decision"] for d in decisions] == ["promoted", "refused"]


def test_stage_by_stage_is_a_run(quick_workspace: Workspace) -> None:
    for command in ("train", "export", "quantize", "parity"):
        outcome = quick_workspace.run(command)
        assert outcome.code == 0, (command, outcome.err)
    assert not (quick_workspace.model_dir / "champion").exists()
    assert "open" in quick_workspace.run("runs").out
    assert quick_workspace.run("reproduce", RunStore(quick_workspace.model_dir).runs()[0].run_id).code == 2
    outcome = quick_workspace.run("release")
    assert outcome.code == 0, outcome.err
    assert "passed   quality" in outcome.out
    assert (quick_workspace.model_dir / "champion").exists()
    assert quick_workspace.run("release").code == 2  # none is open any more


def test_a_sealed_run_is_measured_beside_its_folder(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what is measured and where it goes is the subject: a few calls of each will do
    monkeypatch.setattr(benchmark_plan, "_MOST_CALLS", 5)
    monkeypatch.setattr(benchmark, "_BATCH_SIZES", (1, 64))
    workspace.change(training={"candidates": {"logistic_regression": {}}})
    assert workspace.run("run").code == 0
    run = RunStore(workspace.model_dir).require_champion()
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    quick = ["--set", "benchmarking.repeated_runs=3"]
    measured = workspace.run("benchmark", run.run_id, "--json", *quick)
    assert measured.code == 0, measured.err
    kinds = {(v["candidate"], v["kind"]) for v in json.loads(measured.out)["variants"]}
    assert {("logistic_regression", "sklearn"), ("logistic_regression", "onnx_fp32")} <= kinds
    weighed = workspace.run("tradeoffs", run.run_id, "--json")
    assert weighed.code == 0, weighed.err
    folder = workspace.model_dir / "reports" / run.run_id
    assert sorted(path.name for path in folder.iterdir()) == [
        "benchmark.csv", "benchmark.json", "report.html",
        "tradeoffs.csv", "tradeoffs.html", "tradeoffs.json", "tradeoffs.png",
    ]  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before
    assert workspace.run("parity", run.run_id).code == 0
    assert (folder / "parity_report.json").exists()
    assert workspace.run("reproduce").code == 0


def test_a_release_wants_every_stage_and_says_which_is_missing(quick_workspace: Workspace) -> None:
    assert quick_workspace.run("train").code == 0
    for command in ("export", "parity"):
        outcome = quick_workspace.run("release")
        assert outcome.code == 2
        assert f"`tabloop {command}` writes it" in outcome.err
        assert quick_workspace.run(command).code == 0
    assert quick_workspace.run("release").code == 0


def test_an_altered_file_is_stopped_at_the_gate(ready: Workspace, tmp_path: Path) -> None:
    workspace = ready.copy(tmp_path / "project")
    (run,) = RunStore(workspace.model_dir).runs()
    model = run.path / "best_model.joblib"
    model.chmod(0o644)
    model.write_bytes(model.read_bytes() + b"x")
    outcome = workspace.run("release")
    assert outcome.code == 1
    assert "best_model.joblib: got sha256" in outcome.err
    assert not (workspace.model_dir / "champion").exists()


def break_rows(workspace: Workspace, count: int) -> None:
    path = workspace.folder / "data" / "ml_datasource.csv"
    lines = path.read_text().splitlines()
    for place in range(1, count + 1):
        fields = lines[place].split(",")
        fields[1] = "-5"
        lines[place] = ",".join(fields)
    path.write_text("\n".join(lines) + "\n")


def test_a_few_refused_rows_are_kept_with_their_reason(quick_workspace: Workspace) -> None:
    break_rows(quick_workspace, 15)
    outcome = quick_workspace.run("run", "--json")
    assert outcome.code == 0, outcome.err
    rows = json.loads(outcome.out)["rows"]
    assert (rows["read"], rows["quarantined"]) == (2000, 15)
    refused = (quick_workspace.model_dir / "champion" / "quarantine.jsonl").read_text().splitlines()
    first = json.loads(refused[0])
    assert len(refused) == 15
    assert first["line"] == 2
    assert first["problems"] == [
        {"column": "days_on_platform", "reason": "range", "value": "-5", "expected": "at least 0"}
    ]


def test_too_many_refused_rows_stop_the_run_and_are_kept(workspace: Workspace) -> None:
    break_rows(workspace, 30)
    outcome = workspace.run("run")
    assert outcome.code == 2
    assert "refuses 30 of 2,000 rows (1.50%)" in outcome.err
    assert "days_on_platform: range: 30 rows" in outcome.err
    assert 'line 2: got "-5", expected at least 0' in outcome.err
    (run,) = RunStore(workspace.model_dir).runs()
    assert run.state == "open"
    assert len(run.read("quarantine.jsonl").splitlines()) == 30
    assert workspace.run("release").code == 2  # an unfinished run cannot be released
    checked = workspace.run("data", "check", "--quarantine", "refused.jsonl")
    assert checked.code == 2
    assert len((workspace.folder / "refused.jsonl").read_text().splitlines()) == 30


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            "student_country,days_on_platfrm,minutes_watched",
            "column days_on_platform: missing; is it the unknown column 'days_on_platfrm'",
        ),
        (
            "student_country,days_on_platform,days_on_platform",
            "'days_on_platform' (2 times); expected each name once",
        ),
        ("student_country,days_on_platform,minutes_watched,extra", "column 'extra': not in the contract"),
    ],
)
def test_a_wrong_header_is_one_clear_error(workspace: Workspace, header: str, said: str) -> None:
    path = workspace.folder / "data" / "ml_datasource.csv"
    path.write_text(f"{header}\n" + "x,1,2\n" * 20)
    outcome = workspace.run("run")
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert RunStore(workspace.model_dir).runs() == []  # a run that holds nothing is not left behind


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfe", "is empty"),
        ("größe\n1\n".encode("latin-1"), "is not utf-8"),
    ],
)
def test_a_file_that_is_no_table_is_one_clear_error(workspace: Workspace, content: bytes, said: str) -> None:
    (workspace.folder / "data" / "ml_datasource.csv").write_bytes(content)
    outcome = workspace.run(
        "run", "--set", "data.source.encoding=" + ("utf-16" if content[:1] == b"\xff" else "utf-8")
    )
    assert outcome.code == 2
    assert said in outcome.err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"purchased": "1"}, "holds '1' in every row"),
        ({"purchased": "maybe"}, "the target holds 'maybe' (2000 times)"),
    ],
)
def test_a_target_that_cannot_be_learned_is_one_clear_error(
    workspace: Workspace, students: pl.DataFrame, change: dict[str, str], said: str
) -> None:
    rows = students.cast(pl.String).with_columns(**{k: pl.lit(v) for k, v in change.items()})
    rows.write_csv(workspace.folder / "data" / "ml_datasource.csv")
    outcome = workspace.run("run")
    assert outcome.code == 2
    assert said in outcome.err


def test_parquet_gives_the_same_model_as_csv(
    workspace: Workspace, students: pl.DataFrame, trained: Workspace
) -> None:
    students.write_parquet(workspace.folder / "students.parquet")
    outcome = workspace.run("train", "--set", "data.source={kind: parquet, path: students.parquet}", "--json")
    assert outcome.code == 0, outcome.err
    (run,) = RunStore(workspace.model_dir).runs()
    lineage = run.read_json("lineage.json")
    assert lineage["predictions_sha256"] == artifact(trained, "lineage.json")["predictions_sha256"]


def test_an_infeasible_promise_can_fail_the_run(quick_workspace: Workspace) -> None:
    strict = ["--set", "business.target_precision=0.9999"]
    outcome = quick_workspace.run("run", *strict, "--set", "business.on_infeasible=fail")
    assert outcome.code == 1
    assert "no threshold can promise a precision of 0.9999" in outcome.err
    outcome = quick_workspace.run("run", *strict, "--no-release")
    assert outcome.code == 0
    assert "cannot be promised" in outcome.out
    outcome = quick_workspace.run("release", *strict, "--dry-run", "--set", "release.require_promise=true")
    assert outcome.code == 1
    assert "the precision promise is infeasible" in outcome.err
    assert quick_workspace.run("release", *strict).code == 0


@pytest.mark.soak
def test_two_runs_at_once_do_not_collide(quick_workspace: Workspace) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", "from tabloop.cli import main; main()", "run", "--json"],
            cwd=quick_workspace.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]  # fmt: skip
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    runs = RunStore(quick_workspace.model_dir).runs()
    assert [run.state for run in runs] == ["passed", "passed"]
    assert RunStore(quick_workspace.model_dir).require_champion().run_id in {run.run_id for run in runs}


@pytest.mark.parametrize("after_s", [0.9, 1.6, 2.4, 3.2])
def test_a_killed_run_leaves_no_half_run_and_the_old_champion(
    trained_copy: Workspace, after_s: float
) -> None:
    champion = (trained_copy.model_dir / "champion").readlink()
    process = subprocess.Popen(
        [sys.executable, "-c", "from tabloop.cli import main; main()", "run"],
        cwd=trained_copy.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    store = RunStore(trained_copy.model_dir)
    for run in store.runs():
        assert run.check_hashes() == [] or run.state == "open"
    newest = store.runs()[-1]
    if newest.state == "open":
        assert (trained_copy.model_dir / "champion").readlink() == champion
    assert trained_copy.run("runs").code == 0
    assert trained_copy.run("reproduce").code == 0


def gone_within(group: int, *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("after_s", [1.5, pytest.param(5.0, marks=pytest.mark.soak)])
def test_an_interrupt_ends_with_130_and_leaves_no_process(workspace: Workspace, after_s: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "from tabloop.cli import main; main()", "run",
         "--set", "training.candidates.random_forest.n_estimators=5000"],
        cwd=workspace.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the command
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert gone_within(process.pid, seconds=5)  # the workers and their server are gone too


def test_an_interrupt_in_a_finalizer_is_not_passed_over(workspace: Workspace) -> None:
    code = (
        "import os, signal, time, tabloop.config.loading as loading\n"
        "class Finalized:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGINT)\n"
        "def load(*_, **__):\n"
        "    Finalized()\n"
        "    time.sleep(20)\n"
        "loading.load_project = load\n"
        "from tabloop.cli import main; main(['config', 'show'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace.folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "\ntabloop: interrupted; what was finished is kept\n"), (
        done
    )


def test_help_is_quick_and_loads_no_library() -> None:
    code = (
        "import sys, tabloop; from tabloop.cli.main import tabloop as group; "
        "group.main(['--help'], standalone_mode=False); "
        "print([m for m in ('sklearn', 'polars', 'onnxruntime', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "tabloop init customers.csv --target churned" in done.stdout


@pytest.mark.parametrize(
    "command", [["train", "--wrong"], ["nothing"], ["data", "synthesize", "--rows", "0", "--output", "x.csv"]]
)
def test_wrong_usage_ends_with_2(workspace: Workspace, command: list[str]) -> None:
    outcome = workspace.run(*command)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


def test_a_defect_ends_with_3_and_its_traceback_is_logged(workspace: Workspace) -> None:
    code = (
        "import tabloop.config.loading as l; l.load_project = lambda *a, **k: 1 / 0; "
        "from tabloop.cli import main; main(['config', 'show', '--json'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "ZeroDivisionError" in done.stderr
    assert json.loads(done.stdout)["exit_code"] == 3


def test_data_commands(workspace: Workspace) -> None:
    made = workspace.run("data", "synthesize", "--rows", "300", "--output", "more.csv", "--json")
    assert json.loads(made.out) == {"path": "more.csv", "rows": 300, "seed": 42}
    checked = workspace.run("data", "check", "more.csv")
    assert checked.out == "more.csv: 300 rows read = 300 accepted + 0 refused\n"
    assert json.loads(workspace.run("data", "check", "--json").out)["accepted"] == 2000
    assert workspace.run("data", "check", "nowhere.csv").code == 2


def test_contract_commands(workspace: Workspace, trained: Workspace) -> None:
    assert "feature: learning_consistency" in workspace.run("contract", "show").out
    assert json.loads(workspace.run("contract", "show", "--json-schema").out)["additionalProperties"] is False
    old = workspace.config_path.read_text()
    (workspace.folder / "old.yaml").write_text(old)
    assert workspace.run("contract", "diff", "old.yaml", "config.yaml").code == 0
    workspace.config_path.write_text(old.replace("maximum: 36500", "maximum: 365"))
    outcome = workspace.run("contract", "diff", "old.yaml", "config.yaml")
    assert outcome.code == 1
    assert "maximum 36500 became 365" in outcome.out
    (run,) = RunStore(trained.model_dir).runs()
    assert trained.run("contract", "diff", run.run_id, "config.yaml").code == 0


def test_environment_and_set_reach_every_command(quick_workspace: Workspace) -> None:
    shown = quick_workspace.run(
        "config", "show", "--json", "--set", "seed=9", environ={"TABLOOP_CV__N_SPLITS": "4"}
    )
    config = json.loads(shown.out)
    assert (config["seed"], config["cv"]["n_splits"]) == (9, 4)
    moved = quick_workspace.run("train", "--set", "artifacts.model_dir=elsewhere")
    assert moved.code == 0, moved.err
    (run,) = RunStore(quick_workspace.folder / "elsewhere").runs()
    assert run.is_trained
    assert not quick_workspace.model_dir.exists()


def test_output_is_for_scripts_and_progress_for_people(trained_outcome: Outcome) -> None:
    assert json.loads(trained_outcome.out)["release"]["promoted"] is True
    # quiet when standard error is no terminal, but for a line every 30 s on a busy machine
    assert all(re.match(r"tabloop: \d+ s: ", line) for line in trained_outcome.err.splitlines())


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (["run", "--set", "release.min_roc_auc=0.9999"], "metrics"),
        (["data", "check", "--set", "contract.columns.days_on_platform.maximum=100"], "reasons"),
        (["score", "data/ml_datasource.csv", "--output", "x.csv", "--set", "artifacts.model_dir=none"], None),
        (["runs", "show", "nobody"], None),
        (["nonsense"], None),
    ],
)
def test_a_check_that_says_no_still_gives_one_json_object(
    quick_workspace: Workspace, command: list[str], found: str | None
) -> None:
    outcome = quick_workspace.run(*command, "--json")
    assert outcome.code in (1, 2)
    report = json.loads(outcome.out)  # fails on two objects
    assert report["exit_code"] == outcome.code
    assert report["error"]["message"] in outcome.err
    assert found is None or found in report


@pytest.mark.parametrize(
    "command",
    [
        ["data", "check", "data/ml_datasource.csv", "--quarantine", "data/ml_datasource.csv"],
        [
            "init",
            "data/ml_datasource.csv",
            "--target",
            "purchased",
            "--force",
            "--config",
            "data/ml_datasource.csv",
        ],
    ],
)
def test_no_command_writes_over_what_it_reads(workspace: Workspace, command: list[str]) -> None:
    path = workspace.folder / "data" / "ml_datasource.csv"
    before = path.read_bytes()
    outcome = workspace.run(*command)
    assert outcome.code == 2
    assert "is an input; choose another output" in outcome.err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=true", "seed: got true, expected a whole number"),
        ("seed='7'", "expected a whole number"),
        ("seed=2020-13-45", "got 2020-13-45, expected a whole number"),
        ("seed={[a]: 1}", "a key must be a plain text"),
        ("data.ignore=[days_on_platform]", "data.ignore names what the contract uses"),
        ("data.source.separator='\\n'", "data.source.separator"),
        ("artifacts.model_dir=config.yaml", "artifacts.model_dir names its folder"),
        ("data.source.path=data", "is a folder"),
    ],
)
def test_settings_that_cannot_be_meant(workspace: Workspace, override: str, said: str) -> None:
    outcome = workspace.run("train", "--set", override)
    assert outcome.code == 2, outcome.err
    assert said in outcome.err
    assert "Traceback" not in outcome.err


def test_reproduce_names_a_dataset_that_is_gone(trained_copy: Workspace) -> None:
    (trained_copy.folder / "data" / "ml_datasource.csv").unlink()
    outcome = trained_copy.run("reproduce")
    assert outcome.code == 1
    assert "ml_datasource.csv: recorded but gone" in outcome.err


def test_a_reader_that_leaves_is_no_failure(workspace: Workspace) -> None:
    command = f"{sys.executable} -c 'from tabloop.cli import main; main()' contract show | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=workspace.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n", done.stderr
