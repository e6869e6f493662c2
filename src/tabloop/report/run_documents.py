"""All that is written down of one run, read once."""

from __future__ import annotations

from dataclasses import dataclass

from tabloop.artifacts.documents.benchmark import BenchmarkReport
from tabloop.artifacts.documents.distributions import Distributions
from tabloop.artifacts.documents.drift_operating_table import DriftOperatingTable
from tabloop.artifacts.documents.evaluation import Evaluation
from tabloop.artifacts.documents.explanation import Explanation
from tabloop.artifacts.documents.gates import Gates
from tabloop.artifacts.documents.graphs import RunParity
from tabloop.artifacts.documents.learning_curve import LearningCurve
from tabloop.artifacts.documents.lineage import Lineage
from tabloop.artifacts.documents.manifest import RunState
from tabloop.artifacts.documents.metrics import Metrics
from tabloop.artifacts.documents.quantize import QuantizeReport
from tabloop.artifacts.documents.search import SearchReport
from tabloop.artifacts.documents.tradeoffs import TradeoffReport
from tabloop.artifacts.layout import (
    BENCHMARK,
    DISTRIBUTIONS,
    DRIFT_OPERATING_TABLE,
    EVALUATION,
    EXPLANATION,
    LEARNING_CURVE,
    PARITY_REPORT,
    QUANTIZE_REPORT,
    TRADEOFFS,
)
from tabloop.artifacts.reports import read_report
from tabloop.artifacts.run import RunFolder
from tabloop.contract.contract import Contract


@dataclass(frozen=True)
class RunDocuments:
    """The documents of one run; None where a stage has not written its own yet."""

    run_id: str
    state: RunState
    created_at: str
    files: int
    size_bytes: int
    contract: Contract
    metrics: Metrics
    lineage: Lineage
    gates: Gates | None
    evaluation: Evaluation | None
    explanation: Explanation | None
    distributions: Distributions | None
    parity: RunParity | None
    quantize: QuantizeReport | None
    benchmark: BenchmarkReport | None
    tradeoffs: TradeoffReport | None
    operating_table: DriftOperatingTable | None
    learning_curve: LearningCurve | None
    search: SearchReport | None


def read_run_documents(run: RunFolder) -> RunDocuments:
    """Read the documents of a run whose training has finished.

    Raises
    ------
    ArtifactError
        If a document is damaged.
    """
    return RunDocuments(
        run_id=run.run_id,
        state=run.state,
        created_at=run.created_at,
        files=len(run.files),
        size_bytes=run.size_bytes,
        contract=run.contract,
        metrics=run.metrics,
        lineage=run.lineage,
        gates=None if run.state == "open" else run.gates,
        evaluation=read_report(run, Evaluation, EVALUATION),
        explanation=read_report(run, Explanation, EXPLANATION),
        distributions=read_report(run, Distributions, DISTRIBUTIONS),
        parity=read_report(run, RunParity, PARITY_REPORT),
        quantize=read_report(run, QuantizeReport, QUANTIZE_REPORT),
        benchmark=read_report(run, BenchmarkReport, BENCHMARK),
        tradeoffs=read_report(run, TradeoffReport, TRADEOFFS),
        operating_table=read_report(run, DriftOperatingTable, DRIFT_OPERATING_TABLE),
        learning_curve=read_report(run, LearningCurve, LEARNING_CURVE),
        search=run.search,
    )
