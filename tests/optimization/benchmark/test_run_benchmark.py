from __future__ import annotations

import csv
import io
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from tabloop.artifacts.documents.benchmark import BenchmarkReport, Omission
from tabloop.artifacts.documents.document import document_bytes, json_values, parse_document
from tabloop.artifacts.files import json_bytes
from tabloop.config.benchmarking import BenchmarkingConfig
from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.contract.contract import Contract
from tabloop.errors import ArtifactError, TooFewRowsError
from tabloop.optimization.benchmark import plan as benchmark_plan
from tabloop.optimization.benchmark import run_benchmark as benchmark
from tabloop.optimization.benchmark.process import WorkerFailedError, WorkerProcess, first_to_answer
from tabloop.optimization.benchmark.run_benchmark import BenchmarkRows, Variant, run_benchmark
from tabloop.optimization.benchmark.table import benchmark_table
from tabloop.optimization.benchmark.worker import Loaded, Memory, Scored, Started, Timed
from tabloop.optimization.export.pipeline import export_pipeline, save_model
from tabloop.training.preprocessing import ContractFeatures, build_preprocessor

CONFIG = BenchmarkingConfig.model_validate({"repeated_runs": 3, "batch_size": 16})


@pytest.fixture(scope="module", autouse=True)
def few_batch_sizes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "_BATCH_SIZES", (1, 64))
        yield


@dataclass(frozen=True)
class Models:
    """A winner and another candidate on disk, and rows they were not fitted on."""

    folder: Path
    rows: BenchmarkRows
    pipelines: dict[str, Pipeline]

    def variant(self, candidate: str, kind: Any) -> Variant:
        path = self.folder / f"{candidate}{'.joblib' if kind == 'sklearn' else '.onnx'}"
        winner = candidate == "tree"
        return Variant(candidate, kind, path, is_winner=winner, threshold=0.3 if winner else None)


@pytest.fixture(scope="module")
def models(contract: Contract, students: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    train, test = students.head(1400), students.tail(600)
    pipelines = {}
    classifiers = {"tree": DecisionTreeClassifier(max_depth=4), "linear": LogisticRegression(max_iter=2000)}
    for name, classifier in classifiers.items():
        pipeline = Pipeline(
            [
                ("features", ContractFeatures(contract.to_dict())),
                ("preprocess", build_preprocessor(PreprocessingConfig.model_validate({}), contract)),
                ("classifier", classifier),
            ]
        )
        pipelines[name] = pipeline.fit(train, train["purchased"].to_numpy())
        joblib.dump(pipeline, folder / f"{name}.joblib")
        (folder / f"{name}.onnx").write_bytes(save_model(export_pipeline(pipeline, contract)))
    return Models(folder, BenchmarkRows(contract, test), pipelines)


@pytest.fixture(scope="module")
def steps() -> list[tuple[int, int, str]]:
    return []


@pytest.fixture(scope="module")
def report(models: Models, steps: list[tuple[int, int, str]]) -> BenchmarkReport:
    """A quick benchmark with two variants that are broken."""
    (models.folder / "broken.joblib").write_bytes(b"no pickle")
    variants = [
        models.variant("tree", "sklearn"),
        models.variant("tree", "onnx_fp32"),
        models.variant("linear", "onnx_fp32"),
        Variant("broken", "sklearn", models.folder / "broken.joblib"),
        Variant("gone", "onnx_int8", models.folder / "gone.onnx"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        # few calls, and time enough for them on a machine that is busy with other tests
        patch.setattr(benchmark, "_LEAST_TIMED_S", {False: 120.0})
        patch.setattr(benchmark_plan, "_MOST_CALLS", 5)
        patch.setattr(benchmark, "POWERCAP", Path("/nowhere"))
        return run_benchmark(
            variants,
            models.rows,
            CONFIG,
            full=False,
            seed=7,
            progress=lambda done, total, text: steps.append((done, total, text)),
            skipped=[Omission("linear", "onnx_int8", "nothing to quantise")],
        )


def test_whoever_answers_first_is_served_first(models: Models, tmp_path: Path) -> None:
    """A slow worker must not hold up the ones that are waited for after it."""
    benchmark._write_rows(models.rows, tmp_path)
    slow, quick = (
        WorkerProcess("onnx_fp32", models.folder / "tree.onnx", tmp_path, Path("/nowhere")) for _ in range(2)
    )
    with slow, quick:
        for worker in (slow, quick):
            worker.answer(Started, timeout_s=120.0)
        quick.begin("load")
        assert first_to_answer([slow, quick]) == 1
        assert first_to_answer([slow, None]) == 1


def test_every_variant_is_measured_where_the_mode_says(report: BenchmarkReport) -> None:
    sizes = {
        (v.candidate, v.kind): [t.batch_size for t in v.timings] for v in report.variants if not v.failure
    }
    assert sizes == {
        ("tree", "sklearn"): [1, 16, 64],
        ("tree", "onnx_fp32"): [1, 16, 64],
        ("linear", "onnx_fp32"): [1, 16],
    }
    assert (report.mode, report.headline_batch_size, report.batch_sizes) == ("quick", 16, (1, 16, 64))
    assert (report.test_rows, report.positive_rows) == (600, report.positive_rows)
    assert report.threads["OMP_NUM_THREADS"] == "1"
    assert {"numpy", "onnxruntime", "scikit-learn"} <= set(report.libraries)
    assert report.machine.logical_cores >= 1


def test_figures_lie_in_their_intervals_and_percentiles_rise(report: BenchmarkReport) -> None:
    for variant in report.variants:
        for timing in variant.timings:
            assert 0 < timing.p50_ms.value <= timing.p95_ms.value <= timing.p99_ms.value
            for figure in (timing.p50_ms, timing.p95_ms, timing.p99_ms, timing.samples_per_s):
                assert figure.low <= figure.value <= figure.high
            assert timing.rounds == 3
            assert timing.calls >= timing.rounds
            assert 0 < timing.cpu_fraction <= 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_grows_from_start_to_peak(report: BenchmarkReport) -> None:
    for variant in report.variants:
        if variant.failure is None:
            assert variant.rss_start_bytes is not None
            assert variant.rss_loaded_bytes is not None
            assert variant.peak_rss_bytes is not None
            assert 0 < variant.rss_start_bytes <= variant.rss_loaded_bytes <= variant.peak_rss_bytes
            assert variant.load_s is not None
            assert variant.load_s > 0
            assert variant.file_bytes is not None
            assert variant.file_bytes > 0


def test_quality_is_that_of_the_pipeline(report: BenchmarkReport, models: Models) -> None:
    frame = models.rows.frame
    y_true = frame["purchased"].to_numpy()
    proba = models.pipelines["tree"].predict_proba(frame)[:, 1]
    for variant in report.variants[:2]:
        assert variant.quality is not None
        assert variant.quality.roc_auc.value == pytest.approx(roc_auc_score(y_true, proba))
        assert variant.quality.precision is not None
        assert variant.quality.precision.value == pytest.approx(y_true[proba >= 0.3].mean())
        assert variant.quality.recall is not None
        assert variant.quality.recall.value == pytest.approx((proba >= 0.3)[y_true == 1].mean())
    scikit, onnx = (variant.quality for variant in report.variants[:2])
    assert scikit is not None
    assert scikit.roc_auc_difference is None
    assert onnx is not None
    assert onnx.roc_auc_difference is not None
    assert onnx.roc_auc_difference.value == 0.0
    linear = report.variants[2].quality
    assert linear is not None
    assert linear.precision is None  # it has no threshold
    assert linear.roc_auc_difference is None  # there is no scikit-learn to compare with


def test_a_broken_file_fails_alone_and_says_why(report: BenchmarkReport) -> None:
    failures = {v.candidate: v.failure for v in report.variants if v.failure}
    assert set(failures) == {"broken", "gone"}
    assert "Error" in failures["broken"]
    assert "no such file" in failures["gone"]
    for variant in report.variants[3:]:
        assert not variant.timings
        assert variant.quality is None
    assert report.omissions == (Omission("linear", "onnx_int8", "nothing to quantise"),)


def test_comparisons_are_with_the_same_candidate(report: BenchmarkReport) -> None:
    assert [(c.candidate, c.kind, c.batch_size) for c in report.comparisons] == [
        ("tree", "onnx_fp32", size) for size in (1, 16, 64)
    ]
    for comparison in report.comparisons:
        assert comparison.speedup.low <= comparison.speedup.value <= comparison.speedup.high
        assert -1 <= comparison.cliffs_delta <= 1


def test_progress_counts_up_to_the_end(report: BenchmarkReport, steps: list[tuple[int, int, str]]) -> None:
    done = [each[0] for each in steps]
    assert done == sorted(done)
    assert done[-1] == steps[-1][1]


def test_what_was_not_measured_has_no_key(report: BenchmarkReport) -> None:
    text = json.dumps(json_values(report), allow_nan=False)
    assert report.energy_measured is False
    assert "energy_j" not in text
    assert "energy_j" not in benchmark_table(report)
    assert "null" not in text


def test_csv_says_what_json_says(report: BenchmarkReport) -> None:
    described = json_values(report)
    lines = list(csv.DictReader(io.StringIO(benchmark_table(report))))
    assert len(lines) == 3 + 3 + 2 + 2
    for line in lines:
        variant = next(
            v
            for v in described["variants"]
            if (v["candidate"], v["kind"]) == (line["candidate"], line["kind"])
        )
        assert line["is_winner"] == str(variant["is_winner"]).lower()
        if "failure" in variant:
            assert line["failure"] == variant["failure"]
            assert line["p50_ms"] == line["batch_size"] == ""
            continue
        timing = next(t for t in variant["timings"] if t["batch_size"] == int(line["batch_size"]))
        assert int(line["file_bytes"]) == variant["file_bytes"]
        assert int(line["calls"]) == timing["calls"]
        for name in ("p50_ms", "p95_ms", "p99_ms", "samples_per_s"):
            assert float(line[name]) == timing[name]["value"]
            assert float(line[f"{name}_low"]) == timing[name]["low"]
        assert float(line["roc_auc_high"]) == variant["quality"]["roc_auc"]["high"]
        assert (line["speedup"] != "") == ((variant["candidate"], variant["kind"]) == ("tree", "onnx_fp32"))


def test_a_report_survives_json(report: BenchmarkReport) -> None:
    assert parse_document(document_bytes(report), BenchmarkReport, "benchmark.json") == report
    described = json_values(report)
    with pytest.raises(ArtifactError, match=r"benchmark\.json: .*format_version"):
        parse_document(json_bytes(described | {"format_version": 99}), BenchmarkReport, "benchmark.json")
    del described["seed"]
    with pytest.raises(ArtifactError, match="seed"):
        parse_document(json_bytes(described), BenchmarkReport, "benchmark.json")


def test_one_class_cannot_be_measured(models: Models) -> None:
    rows = BenchmarkRows(models.rows.contract, models.rows.frame.filter(pl.col("purchased") == 0))
    with pytest.raises(TooFewRowsError, match="one class"):
        run_benchmark([models.variant("tree", "sklearn")], rows, CONFIG, full=False, seed=0)


# --- workers ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows_folder(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    benchmark._write_rows(models.rows, folder)
    return folder


def test_an_onnx_worker_imports_no_training_library(models: Models, rows_folder: Path) -> None:
    with WorkerProcess("onnx_fp32", models.folder / "tree.onnx", rows_folder, Path("/nowhere")) as worker:
        worker.answer(Started, timeout_s=60)
        worker.begin("load")
        imported = set(worker.answer(Loaded, timeout_s=60).imported)
    assert "onnxruntime" in imported
    assert not imported & {"sklearn", "polars", "scipy", "joblib", "pydantic", "matplotlib", "onnx"}


def test_a_worker_that_dies_says_how(models: Models, rows_folder: Path) -> None:
    with WorkerProcess("onnx_fp32", models.folder / "tree.onnx", rows_folder, Path("/nowhere")) as worker:
        worker.answer(Started, timeout_s=60)
        os.kill(worker._process.pid, signal.SIGKILL)

        def load() -> None:  # it may say so when it is told, or when it should answer
            worker.begin("load")
            worker.answer(Loaded, timeout_s=60)

        with pytest.raises(WorkerFailedError, match="SIGKILL"):
            load()


def test_a_worker_that_is_too_slow_is_given_up(models: Models, rows_folder: Path) -> None:
    worker = WorkerProcess("onnx_fp32", models.folder / "tree.onnx", rows_folder, Path("/nowhere"))
    with worker, pytest.raises(WorkerFailedError, match="no answer within 0 s"):
        worker.answer(Started, timeout_s=0)
    assert worker._process.poll() is not None


def test_energy_is_reported_where_the_machine_counts_it(
    models: Models, rows_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "intel-rapl:0").mkdir()
    for file, text in (("name", "package-0"), ("energy_uj", "5000000"), ("max_energy_range_uj", "9000000")):
        (tmp_path / "intel-rapl:0" / file).write_text(f"{text}\n")
    with WorkerProcess("onnx_fp32", models.folder / "tree.onnx", rows_folder, tmp_path) as worker:
        worker.answer(Started, timeout_s=60)
        worker.begin("load")
        worker.answer(Loaded, timeout_s=60)
        worker.begin("time", batch_size=8, calls=2, warm_up=True, seed=[1], limit_s=5.0)
        answer = worker.answer(Timed, timeout_s=60)
    assert answer.energy_j == 0.0  # a counter that stands still
    assert len(answer.ns) == 2


# --- order and plan --------------------------------------------------------------------------------


class ScriptedWorker:
    """Stands for a process: answers at once, with times it is told, and notes who was asked."""

    asked: list[tuple[str, dict[str, Any]]]
    call_s: dict[str, float]
    dies_in_round: dict[str, int]

    def __init__(self, kind: str, path: Path, rows_folder: Path, powercap: Path) -> None:
        self.name = path.name
        self._answers, told = os.pipe()
        os.write(told, b"an answer is always there")
        os.close(told)

    def fileno(self) -> int:
        return self._answers

    def begin(self, do: str, **values: Any) -> None:
        self.asked.append((self.name, {"do": do, **values}))

    def answer(self, kind: type[Any], *, timeout_s: float) -> Any:
        if kind is Started:
            return Started(0.1, Memory())
        values = next(asked for name, asked in reversed(self.asked) if name == self.name)
        if kind is Loaded:
            return Loaded(0.1, Memory())
        if kind is Scored:
            np.save(values["output"], np.linspace(0, 1, 600))
            return Scored(Memory())
        if len(values["seed"]) > 1 and values["seed"][1] >= self.dies_in_round.get(self.name, 99):
            raise WorkerFailedError("its process was ended by SIGSEGV")
        call_s = self.call_s.get(self.name, 0.001)
        taken_s = call_s * values["calls"]
        return Timed([int(call_s * 1e9)] * values["calls"], taken_s / 2, taken_s)

    def close(self) -> None:
        os.close(self._answers)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[ScriptedWorker]:
    monkeypatch.setattr(benchmark, "WorkerProcess", ScriptedWorker)
    monkeypatch.setattr(ScriptedWorker, "asked", [], raising=False)
    monkeypatch.setattr(ScriptedWorker, "call_s", {}, raising=False)
    monkeypatch.setattr(ScriptedWorker, "dies_in_round", {}, raising=False)
    return ScriptedWorker


VARIANTS = [
    Variant("a", "sklearn", Path("a")),
    Variant("a", "onnx_fp32", Path("b")),
    Variant("c", "sklearn", Path("c")),
]


def timed(scripted: type[ScriptedWorker]) -> list[tuple[int, int, str]]:
    """Round, batch size and name of everything that was timed in a round."""
    return [
        (values["seed"][1], values["batch_size"], name)
        for name, values in scripted.asked
        if values["do"] == "time" and len(values["seed"]) > 1
    ]


def test_every_round_visits_all_variants_in_another_order(
    models: Models, scripted: type[ScriptedWorker]
) -> None:
    config = CONFIG.model_copy(update={"repeated_runs": 8})
    report = run_benchmark(VARIANTS, models.rows, config, full=True, seed=3)
    visits = timed(scripted)
    assert [each[0] for each in visits] == [i for i in range(8) for _ in range(9)]
    orders = set()
    for i in range(8):
        of_round = [each[1:] for each in visits if each[0] == i]
        assert sorted(of_round) == [(size, name) for size in (1, 16, 64) for name in "abc"]
        # the variants of a batch size follow each other at once
        assert [of_round[j][0] for j in range(0, 9, 3)] == [of_round[j + 2][0] for j in range(0, 9, 3)]
        orders.add(tuple(of_round))
    assert len(orders) > 4
    assert all(t.rounds == 8 for v in report.variants for t in v.timings)
    assert all(t.cpu_fraction == pytest.approx(0.5) for v in report.variants for t in v.timings)


def test_variants_of_a_round_get_the_same_rows(models: Models, scripted: type[ScriptedWorker]) -> None:
    run_benchmark(VARIANTS, models.rows, CONFIG, full=True, seed=3)
    seeds = [
        (values["batch_size"], tuple(values["seed"]))
        for _, values in scripted.asked
        if values["do"] == "time"
    ]
    in_rounds = [each for each in seeds if len(each[1]) > 1]
    assert len(set(in_rounds)) == len(in_rounds) / 3


def test_a_variant_that_dies_in_a_round_leaves_the_others(
    models: Models, scripted: type[ScriptedWorker]
) -> None:
    scripted.dies_in_round = {"b": 1}
    report = run_benchmark(VARIANTS, models.rows, CONFIG, full=True, seed=3)
    assert [v.failure for v in report.variants] == [None, "its process was ended by SIGSEGV", None]
    assert not report.variants[1].timings
    assert all(t.rounds == 3 for v in (report.variants[0], report.variants[2]) for t in v.timings)
    assert not report.comparisons
    assert report.variants[0].peak_rss_bytes is None  # these workers have no /proc
    assert "peak_rss_bytes" not in json_values(report)["variants"][0]


def test_a_variant_that_is_far_too_slow_is_left_out_with_the_reason(
    models: Models, scripted: type[ScriptedWorker]
) -> None:
    scripted.call_s = {"c": 600.0}
    report = run_benchmark(VARIANTS, models.rows, CONFIG, full=False, seed=3)
    assert {o.candidate for o in report.omissions} == {"c"}
    assert {o.batch_size for o in report.omissions} == {1, 16}
    assert report.omissions[0].reason == "one call takes 600.0 s"


def test_answers_that_are_no_probabilities_fail(
    models: Models, scripted: type[ScriptedWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "linspace", lambda *_: np.full(600, np.nan))
    report = run_benchmark(VARIANTS[:1], models.rows, CONFIG, full=False, seed=3)
    assert report.variants[0].failure == "answered something else than 600 probabilities"


def test_models_are_loaded_one_by_one_and_score_side_by_side(
    models: Models, scripted: type[ScriptedWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: dict[str, str] = {}
    together: dict[str, int] = {}

    class Counted(ScriptedWorker):
        def begin(self, do: str, **values: Any) -> None:
            super().begin(do, **values)
            waiting[self.name] = do
            together[do] = max(together.get(do, 0), len(waiting))

        def answer(self, kind: type[Any], *, timeout_s: float) -> Any:
            waiting.pop(self.name, None)
            return super().answer(kind, timeout_s=timeout_s)

    monkeypatch.setattr(benchmark, "WorkerProcess", Counted)
    monkeypatch.setattr(benchmark, "cpu_count", lambda: 3)
    variants = [Variant(name, "onnx_fp32", Path(name)) for name in "abcde"]
    run_benchmark(variants, models.rows, CONFIG, full=False, seed=7)
    assert together == {"load": 1, "score": 3, "time": 1}
