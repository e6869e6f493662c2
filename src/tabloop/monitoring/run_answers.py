"""The runs, one of them, and every decision about the champion: `GET /runs` and `GET /runs/{run_id}`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from tabloop.artifacts.documents.evaluation import Evaluation
from tabloop.artifacts.documents.lineage import Ingredient
from tabloop.artifacts.documents.tradeoffs import TradeoffReport
from tabloop.artifacts.layout import CONFIG, EVALUATION, GATES, LINEAGE, METRICS, TRADEOFFS
from tabloop.artifacts.reports import read_report
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.run_summary import RunSummary, summarize_runs
from tabloop.artifacts.store import RunStore
from tabloop.deployment.dashboard_types.runs import (
    BoundedFigure,
    ChampionDecision,
    GateVerdict,
    MadeOf,
    RunDetail,
    RunLine,
    Runs,
    Variant,
)
from tabloop.errors import ArtifactError, NotFoundError

_FIGURES = ("roc_auc", "average_precision", "precision", "recall", "f1", "accuracy", "brier_score")
_MOST_DECISIONS = 200


def describe_runs(store: RunStore) -> Runs:
    """Describe every run, and every decision about the champion."""
    summaries = summarize_runs(store)
    return Runs(
        champion=store.champion_name(),
        runs=[_line(each) for each in summaries],
        broken=[*store.broken_runs(), *(each.problem for each in summaries if each.problem is not None)],
        decisions=[
            ChampionDecision(
                time=str(decision["time"]),
                decision=str(decision["decision"]),
                run_id=str(decision["run_id"]),
                reason=_reason(decision),
            )
            for decision in reversed(store.decisions()[-_MOST_DECISIONS:])
        ],
    )


def describe_run(store: RunStore, run_id: str) -> RunDetail:
    """Describe one run.

    Raises
    ------
    NotFoundError
        If there is no such run.
    """
    try:
        run = store.get(run_id)
    except ArtifactError as error:
        raise NotFoundError(str(error)) from error
    (summary,) = [each for each in summarize_runs(store) if each.run_id == run.run_id]
    lineage = run.lineage if run.has(LINEAGE) else None
    tradeoffs = read_report(run, TradeoffReport, TRADEOFFS)
    return RunDetail(
        summary=_line(summary),
        figures=_figures(run),
        rows={} if lineage is None else msgspec.structs.asdict(lineage.rows),
        settings=_settings(run.read_json(CONFIG)) if run.has(CONFIG) else {},
        gates=[GateVerdict(name=g.name, passed=g.passed, reason=g.reason) for g in run.gates.gates]
        if run.has(GATES)
        else [],
        made_of=[]
        if lineage is None
        else [
            _made_of("data", lineage.dataset),
            _made_of("config", lineage.config),
            _made_of("contract", lineage.contract),
            MadeOf(
                name="code",
                place=f"{lineage.code.package} {lineage.code.version}",
                sha256=lineage.code.sha256,
            ),
        ],
        made=[]
        if lineage is None
        else [_made_of("model", lineage.model), _made_of("threshold", lineage.threshold)],
        promise=run.metrics.calibration.promise.describe() if run.has(METRICS) else None,
        challenged=None if run.retraining is None else run.retraining.champion_run_id,
        variants=[] if tradeoffs is None else _variants(tradeoffs),
    )


def _line(summary: RunSummary) -> RunLine:
    return msgspec.convert(
        {name: getattr(summary, name) for name in RunLine.__struct_fields__}, RunLine, strict=False
    )


def _figures(run: RunFolder) -> dict[str, BoundedFigure]:
    if not run.has(METRICS):
        return {}
    figures = {
        name: BoundedFigure(value=float(getattr(run.metrics, name)), low=None, high=None) for name in _FIGURES
    }
    evaluation = read_report(run, Evaluation, EVALUATION)
    if evaluation is not None:
        for name, each in evaluation.figures.items():
            figures[name] = BoundedFigure(value=each.value, low=each.interval[0], high=each.interval[1])
    return figures


def _settings(value: Mapping[str, Any], name: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            flat |= _settings(inner, f"{name}{key}.")
        else:
            flat[f"{name}{key}"] = json.dumps(inner, ensure_ascii=False)
    return flat


def _made_of(name: str, ingredient: Ingredient) -> MadeOf:
    return MadeOf(name=name, place=ingredient.place, sha256=ingredient.sha256)


def _variants(report: TradeoffReport) -> list[Variant]:
    return [
        Variant(
            name=point.name,
            is_winner=point.is_winner,
            on_frontier=point.on_frontier,
            p99_ms=point.p99_ms.value,
            samples_per_s=point.samples_per_s.value,
            roc_auc=point.roc_auc.value,
            file_bytes=point.file_bytes,
        )
        for point in report.points
    ]


def _reason(decision: Mapping[str, Any]) -> str:
    if decision.get("reason"):
        return str(decision["reason"])
    refused = [gate for gate in decision.get("gates", ()) if not gate.get("passed", True)]
    if refused:
        return "; ".join(f"{gate.get('name')}: {gate.get('reason')}" for gate in refused)
    if decision.get("from_run_id"):
        return f"from run {decision['from_run_id']}"
    return "every gate passed" if decision.get("gates") else ""
