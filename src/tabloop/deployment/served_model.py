"""One run as it is served: its graph, its contract's codec, its own queue, and what is told about it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from tabloop.artifacts.prediction_log.writer import PredictionLogWriter
from tabloop.artifacts.run import RunFolder
from tabloop.config.serving import ServingConfig
from tabloop.contract.contract import Contract
from tabloop.deployment import metrics
from tabloop.deployment.answer_types import Model, Promise, QualityFigures
from tabloop.errors import ArtifactError, LogUnwritableError
from tabloop.inference.answers import AnswerWriter
from tabloop.inference.micro_batcher import MicroBatcher
from tabloop.inference.records.codec import RecordCodec
from tabloop.inference.scoring_service import (
    ScoringService,
    load_tested_service,
)

#: From this many rows on, scoring is worth a thread: the loop reads and writes meanwhile.
_THREAD_ROWS = 128


#: One decided row: probability, label, id of its line in the prediction log, and the ticket to wait for until
#: that line is as safe as it was promised to be. Plain, for a batch makes thousands of them.
Prediction: TypeAlias = tuple[float, int, str, int]


#: Probabilities and labels of some rows.
Decided: TypeAlias = tuple[list[float], list[int]]


class ServedModel:
    """A run that answers.

    Every model has a queue of its own: what one accepted is scored by the same one, whoever becomes champion
    in between, so that no answer mixes two.

    Parameters
    ----------
    service : ScoringService
        The graph and the threshold that decide.
    description : Model
        The answer of `GET /model`.
    log : PredictionLogWriter
        Where predictions are written down before they are answered.
    config : ServingConfig
        Sizes of batches and of the queue.
    is_alone : callable, optional
        Tells whether there is one request only.
    threads : int, default=1
        Parts of large batches that are scored side by side.
    """

    def __init__(
        self,
        service: ScoringService,
        description: Model,
        log: PredictionLogWriter,
        config: ServingConfig,
        is_alone: Callable[[], bool] | None = None,
        threads: int = 1,
    ) -> None:
        self.service = service
        self.description = description
        self.max_records = config.max_records
        self.codec = RecordCodec(service.contract, max_records=config.max_records)
        self.batcher: MicroBatcher[msgspec.Struct, Decided, Prediction] = MicroBatcher(
            self._score,
            self._write_down,
            thread_rows=_THREAD_ROWS,
            threads=threads,
            is_alone=is_alone,
            max_batch_rows=config.max_batch_rows,
            max_queue_rows=config.max_queue_rows,
        )
        self._log = log
        self._writer = AnswerWriter(service.contract, service.run_id)

    @property
    def run_id(self) -> str:
        """The run."""
        return self.service.run_id

    @property
    def contract(self) -> Contract:
        """What a valid record is."""
        return self.service.contract

    def _score(self, records: list[msgspec.Struct]) -> Decided:
        return self.service.decide_records(self.codec, records)

    def _write_down(self, records: list[msgspec.Struct], decided: Decided) -> list[Prediction]:
        probability, label = decided
        try:
            ids, is_logged, ticket = self._log.append(
                records, probability, label, run_id=self.service.run_id, threshold=self.service.threshold
            )
        except LogUnwritableError:
            metrics.log_refused_rows.inc(len(records))
            metrics.log_state.note(failed=True)
            raise
        if not is_logged:
            metrics.log_dropped_rows.inc(len(records))
        metrics.log_state.note(failed=not is_logged)
        metrics.queue_rows.set(self.batcher.waiting_rows)
        metrics.count_decisions(label)
        return list(zip(probability, label, ids, itertools.repeat(ticket)))

    def answer_one(self, prediction: Prediction) -> bytes:
        """Write the answer to one record as JSON."""
        return self._writer.answer(*prediction[:3])

    def answer_many(self, predictions: Sequence[Prediction]) -> bytes:
        """Write the answer to several records as JSON, in their order."""
        return self._writer.answers([each[:3] for each in predictions])


def load_served_model(
    run: RunFolder,
    config: ServingConfig,
    log: PredictionLogWriter,
    is_alone: Callable[[], bool] | None = None,
    threads: int = 1,
) -> ServedModel:
    """Load a run, check the hash of every file it serves, and have it score its self-test rows.

    Raises
    ------
    ArtifactError
        If the run was not released or a file is missing.
    HashMismatchError
        If a file is not the recorded one, or the self-test comes out differently.
    """
    service = load_tested_service(run)
    return ServedModel(service, _describe(run, service), log, config, is_alone, threads)


def _describe(run: RunFolder, service: ScoringService) -> Model:
    metrics, baseline = run.metrics, run.drift_baseline
    if not baseline.numeric and not baseline.categories:
        raise ArtifactError(f"run {run.run_id}: its drift baseline holds no feature")
    found = metrics.calibration
    return Model(
        run_id=run.run_id,
        created_at=run.created_at,
        model=metrics.best_model_name,
        graph=run.served_model,
        decision_threshold=service.threshold,
        promise=Promise(
            objective=found.objective,
            statement=found.promise.sentence(),
            target_precision=found.target_precision,
            promised_precision=found.promised_precision,
            confidence=found.confidence,
            feasible=found.feasible,
            recall=found.recall,
        ),
        test=msgspec.convert(metrics, QualityFigures, from_attributes=True),
        rows=run.lineage.rows,
        hashes={name: entry.sha256 for name, entry in sorted(run.files.items())},
        contract=service.contract.to_dict(),
        card=run.model_card,
    )
