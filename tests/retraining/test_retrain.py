"""A challenger learns from what came in, and goes live only if it earned it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.conftest import QuietProgress
from tests.retraining.retraining_kit import Live, files_of

from tabloop.artifacts.datasets import DatasetStore
from tabloop.artifacts.files import locked
from tabloop.artifacts.layout import RETRAINING_LOCK
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.run import RunFolder
from tabloop.config.loading import Project
from tabloop.data.run_data import load_run_data
from tabloop.data.split import in_test_part
from tabloop.errors import ArtifactError, ArtifactMissingError, GateRefusedError, NothingToJudgeError
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.inference.scoring_service import load_service
from tabloop.lifecycle.reproduce import reproduce
from tabloop.monitoring.run_monitor import monitor_evidence
from tabloop.release.rollback import rollback
from tabloop.retraining import retrain as retraining
from tabloop.retraining.challenger_gates import judge_champion
from tabloop.retraining.evidence import Finding, NewOutcomes, RetrainingEvidence, WindowEvidence
from tabloop.retraining.retrain import RetrainingReport, retrain
from tabloop.statistics.intervals import roc_auc

QUIET = QuietProgress()


@dataclass(frozen=True)
class Retrained:
    live: Live
    champion: str
    report: RetrainingReport

    @property
    def run(self) -> RunFolder:
        assert self.report.release is not None
        return self.live.store.get(self.report.release.run_id)


@pytest.fixture(scope="module")
def retrained(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Retrained:
    """A retraining that promoted its challenger; tests must not change it."""
    copy = live.copy(tmp_path_factory.mktemp("retrained") / "p")
    champion = copy.champion().run_id
    # as a retraining that was killed leaves it
    DatasetStore(copy.project().model_dir).put(lambda path: path.write_bytes(b"nobody's"))
    return Retrained(copy, champion, retrain(copy.project(), QUIET))


def refused(report: RetrainingReport) -> dict[str, str]:
    assert report.release is not None
    return {gate.name: gate.reason for gate in report.release.gates if not gate.passed}


def triggered(*held: bool, labels: int = 1_500) -> Any:
    """Evidence in which the windowed tests alarmed or not, window by window."""

    def gather(project: Project, champion: RunFolder) -> RetrainingEvidence:
        now = datetime.now(UTC)
        windows = tuple(
            WindowEvidence(i * 1_000, f"t{i}", {"windowed_drift": Finding(holds, "minutes_watched moved")})
            for i, holds in enumerate(held, 1)
        )
        return RetrainingEvidence(
            champion.run_id, now, now - timedelta(days=1), windows, None, NewOutcomes(labels, 100)
        )

    return gather


def test_a_better_challenger_goes_live(retrained: Retrained) -> None:
    assert refused(retrained.report) == {}
    assert retrained.report.promoted
    assert retrained.live.champion().run_id == retrained.run.run_id != retrained.champion
    gates = {gate.name: gate for gate in retrained.report.release.gates}  # type: ignore[union-attr]
    for name in ("frozen_test", "fresh_rows"):
        auc = gates[name].evidence["roc_auc"]
        assert auc["challenger"] > auc["champion"]
        assert auc["low"] <= auc["difference"] <= auc["high"]


def test_its_data_are_the_reference_and_the_matured_feedback_under_a_new_hash(
    retrained: Retrained, traffic: pl.DataFrame
) -> None:
    live, run = retrained.live, retrained.run
    data = load_run_data(live.project(), run)
    rows = pl.concat([data.split.train, data.split.test])
    reference = load_run_data(live.project(), live.store.get(retrained.champion))
    learned = traffic[:1_000]  # the latest 500 are held out
    expected = pl.concat([reference.split.train, reference.split.test, learned])
    assert rows.sort(rows.columns).equals(expected.sort(rows.columns))
    # what was a test row of the champion is one of the challenger
    moved = data.split.train.join(reference.split.test, on=rows.columns, how="semi")
    assert moved.is_empty()

    lineage = run.read_json("lineage.json")
    before = live.store.get(retrained.champion).read_json("lineage.json")
    sha256 = lineage["dataset"]["sha256"]
    assert sha256 != before["dataset"]["sha256"]
    assert lineage["dataset"]["path"] == f"artifacts/datasets/{sha256}.parquet"


def test_the_tables_that_runs_need_stay_and_no_other(retrained: Retrained) -> None:
    record = retrained.run.retraining
    assert record is not None
    needed = {record.dataset.sha256, record.fresh.sha256, record.frozen_test.sha256}
    assert set(DatasetStore(retrained.live.project().model_dir).names()) == needed


def test_nothing_that_it_is_judged_on_was_learned_from(retrained: Retrained, traffic: pl.DataFrame) -> None:
    live, run = retrained.live, retrained.run
    judged = run.read_json("retraining.json")
    train = load_run_data(live.project(), run).split.train
    for name in ("fresh", "frozen_test"):
        path = live.model_dir / "datasets" / f"{judged[name]['sha256']}.parquet"
        rows = pl.read_parquet(path).with_columns(pl.col("purchased").cast(pl.Int8))
        assert rows.height == judged[name]["rows"] >= 250
        assert rows.join(train, on=rows.columns, how="semi").is_empty()
        if name == "fresh":
            assert rows.join(traffic[1_000:1_500], on=rows.columns, how="anti").is_empty()
        else:
            assert run.lineage.split is not None
            assert in_test_part(
                rows.cast(train.schema), "purchased", setting=run.lineage.split, seed=42
            ).all()


def test_the_decision_says_who_asked_what_it_rests_on_and_what_came_of_it(retrained: Retrained) -> None:
    decision = retrained.live.store.decisions()[-1]
    assert decision["decision"] == "promoted"
    assert decision["run_id"] == retrained.run.run_id
    noted = decision["retraining"]
    assert retrained.report.retraining == retrained.run.retraining
    assert noted == retrained.run.read_json("retraining.json")
    assert noted["trigger"] == {"requested": "by hand"}
    assert noted["champion_run_id"] == retrained.champion
    assert noted["feedback"]["learned_rows"] == 1_000
    assert noted["feedback"]["matured_rows"] == 1_500
    assert {gate["name"] for gate in decision["gates"]} >= {"champion", "frozen_test", "fresh_rows", "replay"}


def test_the_replay_lists_every_decision_that_would_change(
    retrained: Retrained, traffic: pl.DataFrame
) -> None:
    live = retrained.live
    gate = next(g for g in retrained.report.release.gates if g.name == "replay")  # type: ignore[union-attr]
    lines = [
        json.loads(line)
        for line in (live.model_dir / "reports" / retrained.run.run_id / "replay.jsonl")
        .read_text()
        .splitlines()
    ]
    assert gate.evidence["rows"] == 1_500
    assert gate.evidence["by_run"] == {retrained.champion: 1_500}
    assert len(lines) == gate.evidence["changed_rows"] > 0
    assert len({line["prediction_id"] for line in lines}) == len(lines)
    threshold = load_service(retrained.run).threshold
    for line in lines:
        assert line["label"] != line["challenger_label"] == int(line["challenger_probability"] >= threshold)


def test_the_run_reproduces(retrained: Retrained) -> None:
    report = reproduce(retrained.live.project(), retrained.run, QUIET, retrain=True)
    assert report.retrained


def test_rollback_undoes_it_and_the_learned_labels_are_new_again(
    retrained: Retrained, tmp_path: Path
) -> None:
    live = retrained.live.copy(tmp_path / "p")
    # the latest 500 were not learned from: to the new champion they are new
    assert monitor_evidence(live.project(), live.champion()).new_outcomes.labels == 500
    assert rollback(live.project(), None).run_id == retrained.champion
    assert live.champion().run_id == retrained.champion
    assert monitor_evidence(live.project(), live.champion()).new_outcomes.labels == 1_500


def test_a_dry_run_decides_the_same_and_changes_nothing(live: Live) -> None:
    before = files_of(live.workspace.folder)
    report = retrain(live.project(), QUIET, dry_run=True)
    assert report.promoted
    assert report.dry_run
    assert files_of(live.workspace.folder) == before


def test_nothing_happens_unless_a_trigger_fires(live: Live) -> None:
    before = files_of(live.workspace.folder)
    quiet = retrain(live.project(), QUIET, if_triggered_by=triggered(True, False))
    assert quiet.decision is not None
    assert quiet.decision.reason == "no trigger fires"
    waiting = retrain(live.project(), QUIET, if_triggered_by=triggered(True, True, labels=10))
    assert waiting.decision is not None
    assert waiting.decision.should_retrain
    assert waiting.decision.missing_labels == 990
    assert files_of(live.workspace.folder) == before
    assert [quiet.release, waiting.release] == [None, None]


def test_labels_that_all_lie_are_caught_by_the_frozen_test_rows(
    retrained: Retrained, traffic: pl.DataFrame, tmp_path: Path
) -> None:
    """The liar labels the fresh rows too: only rows from before feedback can tell."""
    live = retrained.live.copy(tmp_path / "p")
    rows = traffic[1_500:4_500]
    live.serve_and_tell(rows, [1 - label for label in rows["purchased"].to_list()])
    report = retrain(live.project(), QUIET)
    gates = {gate.name: gate for gate in report.release.gates}  # type: ignore[union-attr]
    assert gates["fresh_rows"].evidence["roc_auc"]["difference"] > 0
    assert not gates["frozen_test"].passed
    assert "ROC-AUC" in gates["frozen_test"].reason
    assert live.champion().run_id == retrained.run.run_id
    assert live.store.decisions()[-1]["decision"] == "refused"
    with pytest.raises(GateRefusedError, match=f"run {retrained.run.run_id} stays\n(.*\n)*  frozen_test: "):
        retraining.require_not_refused(report)
    # and the cooldown begins
    decision = retraining.decide(live.project(), triggered(True, True))
    assert not decision.retrain_now
    assert decision.blocked_by[0].startswith("the last retraining was refused")


def test_a_flood_of_one_label_before_honest_fresh_rows_is_caught(
    retrained: Retrained, traffic: pl.DataFrame, tmp_path: Path
) -> None:
    live = retrained.live.copy(tmp_path / "p")
    flood, honest = traffic[1_500:4_500], traffic[4_500:5_000]
    live.serve_and_tell(flood, [1] * flood.height)
    live.serve_and_tell(honest)
    report = retrain(live.project(), QUIET, dry_run=True)
    assert not report.promoted
    assert "Brier score" in refused(report)["frozen_test"]
    assert "Brier score" in refused(report)["fresh_rows"]


def test_a_challenger_that_overfits_the_window_is_refused(
    retrained: Retrained, traffic: pl.DataFrame, tmp_path: Path
) -> None:
    """On the window that it learned from it is perfect; the rows held out behind it show what it is."""
    live = retrained.live.copy(tmp_path / "p")
    memorize = {"max_depth": 60, "min_samples_leaf": 1}
    live.workspace.change(
        training={"candidates": {"decision_tree": memorize}}, retraining={"data": "replace"}
    )
    report = retrain(live.project(), QUIET)
    assert report.release is not None
    run = live.store.get(report.release.run_id)
    train = load_run_data(live.project(), run).split.train
    y = train["purchased"].to_numpy()

    def auc(of: RunFolder) -> float:
        service = load_service(of, released_only=False)
        return roc_auc(y, service.decide(columns_of_frame(service.contract, train)).probability)

    assert auc(run) > auc(live.champion())
    assert "lower than the champion's" in refused(report)["fresh_rows"]
    assert live.champion().run_id == retrained.run.run_id


def test_labels_of_one_class_are_refused_before_anything_is_trained(live: Live, tmp_path: Path) -> None:
    copy = live.copy(tmp_path / "p")
    champion, runs = copy.champion().run_id, len(copy.store.runs())
    (copy.model_dir / "feedback.jsonl").unlink()
    ids = PredictionLogReader(copy.model_dir).read_latest(1_500).prediction_id
    copy.tell(ids, [0] * len(ids))
    with pytest.raises(
        NothingToJudgeError, match="fresh rows that neither model was trained on, 0 are positive"
    ):
        retrain(copy.project(), QUIET)
    assert copy.champion().run_id == champion
    assert len(copy.store.runs()) == runs
    noted = copy.store.decisions()[-1]
    assert noted["decision"] == "retraining_refused"
    assert "0 are positive" in noted["retraining"]["reason"]
    with pytest.raises(ArtifactError, match="was no champion before it"):
        rollback(copy.project(), None)  # what was refused is no champion to go back to


def test_a_second_retraining_is_told_to_wait(live: Live, tmp_path: Path) -> None:
    copy = live.copy(tmp_path / "p")
    with (
        locked(copy.model_dir / RETRAINING_LOCK),
        pytest.raises(ArtifactError, match="another retraining is at work"),
    ):
        retrain(copy.project(), QUIET)


def test_a_champion_that_went_live_meanwhile_refuses_the_challenger(
    retrained: Retrained, tmp_path: Path
) -> None:
    """The judged rows were chosen for the one before it."""
    live = retrained.live.copy(tmp_path / "p")
    record = retrained.run.retraining
    assert record is not None
    gate = judge_champion(record, live.store)
    assert not gate.passed
    assert f"were chosen for {retrained.champion}" in gate.reason


def test_without_a_champion_there_is_nothing_to_challenge(live: Live, tmp_path: Path) -> None:
    project = live.workspace.project(f"artifacts.model_dir={tmp_path / 'empty'}")
    with pytest.raises(ArtifactMissingError, match="tabloop run"):
        retrain(project, QUIET)
