"""Decisions in the prediction log: found by a search, or one with its reasons and its outcome."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from tabloop.artifacts.files import iso_utc
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.search import LogFilter, search_log
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.deployment.dashboard_types.decisions import LoggedPrediction, LoggedPredictions, PredictionLine
from tabloop.deployment.queries import PredictionsQuery
from tabloop.errors import NotFoundError, TabloopError
from tabloop.explanation.explained_record import ExplainedRecord
from tabloop.outcomes.index import OutcomeIndex

if TYPE_CHECKING:
    from tabloop.monitoring.record_explainer import RecordExplainer

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class LoggedDecisions:
    """Finds decisions in the log.

    Parameters
    ----------
    project : Project
        Where the log is, and which columns it leaves out.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._explainer: RecordExplainer | None = None

    def search(self, query: PredictionsQuery, outcomes: OutcomeIndex) -> LoggedPredictions:
        """Find the latest predictions that a query lets through.

        Parameters
        ----------
        query : PredictionsQuery
            The predictions to list.
        outcomes : OutcomeIndex
            What came true, brought up to date.
        """
        wanted = LogFilter(
            since=query.since,
            until=query.until,
            run_id=query.run_id,
            label=query.label,
            min_probability=query.min_probability,
            max_probability=query.max_probability,
            before=query.before,
        )
        found = search_log(self._project.model_dir, wanted, limit=query.limit)
        rows = found.rows
        known = outcomes.find(rows.prediction_id).label if len(rows) else np.empty(0, np.int8)
        return LoggedPredictions(
            predictions=[
                PredictionLine(
                    prediction_id=rows.prediction_id[place],
                    time=rows.time[place],
                    run_id=rows.run_id[place],
                    probability=rows.probability[place],
                    threshold=rows.threshold[place],
                    label=rows.label[place],
                    event_id=rows.event_id[place],
                    outcome=None if known[place] == -1 else int(known[place]),
                )
                for place in range(len(rows))
            ],
            looked_at_rows=found.looked_at,
            next_before=found.next_before,
        )

    def describe(self, prediction_id: str, outcomes: OutcomeIndex) -> LoggedPrediction:
        """Say all that is known of one prediction.

        Raises
        ------
        NotFoundError
            If the log does not hold it.
        """
        found = PredictionLogReader(self._project.model_dir).lookup([prediction_id])
        if not _ID.fullmatch(prediction_id) or not len(found):
            raise NotFoundError(f"the prediction log holds no prediction {prediction_id[:60]!r}")
        features = {name: values[0] for name, values in found.features.items()}
        explanation, unexplained = self._explain(found.run_id[0], features)
        known = outcomes.find([prediction_id])
        label, time_us = int(known.label[0]), int(known.time_us[0])
        return LoggedPrediction(
            prediction_id=prediction_id,
            time=found.time[0],
            run_id=found.run_id[0],
            probability=found.probability[0],
            threshold=found.threshold[0],
            label=found.label[0],
            event_id=found.event_id[0],
            features=features,
            outcome=None if label == -1 else label,
            outcome_time=None if label == -1 else iso_utc(datetime.fromtimestamp(time_us / 1e6, UTC)),
            explanation=explanation,
            unexplained=unexplained,
        )

    def _explain(self, run_id: str, features: dict[str, object]) -> tuple[ExplainedRecord | None, str]:
        """Explain by the run that decided; give the reason where it cannot be done."""
        # imported here: ONNX Runtime is loaded only once somebody asks
        from tabloop.monitoring.record_explainer import RecordExplainer

        log = self._project.config.prediction_log
        if private := sorted({*log.omit, *log.hash}):
            return None, f"the prediction log leaves out or hashes {', '.join(private)}"
        try:
            if self._explainer is None or self._explainer.run_id != run_id:
                self._explainer = RecordExplainer(RunStore(self._project.model_dir).get(run_id))
            return self._explainer.explain(json.dumps(features).encode()), ""
        except TabloopError as error:
            return None, str(error).replace(f"{self._project.model_dir}/", "")
