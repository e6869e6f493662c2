"""Rows in, decisions out: the one place where a probability becomes a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tabloop.artifacts.documents.graphs import SelfTest
from tabloop.artifacts.layout import CONTRACT, FP32_MODEL
from tabloop.artifacts.run import RunFolder
from tabloop.contract.contract import Contract
from tabloop.cores import cpu_count
from tabloop.errors import ArtifactError, HashMismatchError
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import input_types

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tabloop.inference.records.codec import RecordCodec
    from tabloop.inference.records.record_type import Record


#: The self-test may differ by no more than the exact export does.
SELF_TEST_TOLERANCE = 2e-6
_LEAST_ROWS_A_THREAD = 1024

#: Probabilities and labels of some rows.
PlainDecisions: TypeAlias = tuple[list[float], list[int]]


@dataclass(frozen=True)
class Decisions:
    """What became of some rows.

    Attributes
    ----------
    probability : ndarray of float64, shape (n_rows,)
        The probability of the positive class.
    label : ndarray of int8, shape (n_rows,)
        1 where the probability is at least the threshold, else 0.
    """

    probability: NDArray[np.float64]
    label: NDArray[np.int8]


@dataclass(frozen=True)
class ScoringService:
    """One run's graph and threshold; HTTP, streams and batches all score through it.

    Attributes
    ----------
    run_id : str
        The run that every answer names.
    contract : Contract
        The columns and rules that a valid row meets.
    predictor : Predictor
        The graph.
    threshold : float
        The decision threshold.
    """

    run_id: str
    contract: Contract
    predictor: Predictor
    threshold: float

    def decide(self, columns: Mapping[str, NDArray[Any]]) -> Decisions:
        """Score checked rows and decide on each.

        Parameters
        ----------
        columns : mapping of str to ndarray of shape (n_rows,)
            The graph's inputs; see `tabloop.inference.records.frame_columns`.

        Returns
        -------
        decisions : Decisions
        """
        return self._decided(self.predictor.predict(columns))

    def decide_records(self, codec: RecordCodec, records: Sequence[Record]) -> PlainDecisions:
        """Score records and decide on each; see `decide`.

        Parameters
        ----------
        codec : RecordCodec
            The codec that decoded them; of this service's contract.
        records : sequence of Record
            The records, at least one.

        Returns
        -------
        probability, label : list of float, list of int
            Plain numbers: who decides on records writes them as text.
        """
        return self.plain_decisions(self.score(codec.feed_of(records)))

    def score(self, feed: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Give the probability of each row of what `RecordCodec.feed_of` gave; does nothing else."""
        return self.predictor.run(feed)

    def plain_decisions(self, scores: NDArray[np.float64]) -> PlainDecisions:
        """Decide on what `score` gave; see `decide_records`."""
        probability, threshold = scores.tolist(), self.threshold
        return probability, [1 if each >= threshold else 0 for each in probability]

    def _decided(self, probability: NDArray[np.float64]) -> Decisions:
        return Decisions(probability, (probability >= self.threshold).astype(np.int8))


def decide_side_by_side(
    service: ScoringService, columns: Mapping[str, NDArray[Any]], pool: ThreadPoolExecutor
) -> Decisions:
    """Decide on many rows in several threads; each call is on one, so that no bit depends on the cores."""
    n_rows = len(next(iter(columns.values())))
    step = max(_LEAST_ROWS_A_THREAD, -(-n_rows // cpu_count()))
    parts: list[Mapping[str, NDArray[Any]]] = [
        {name: values[start : start + step] for name, values in columns.items()}
        for start in range(0, n_rows, step)
    ]
    done = list(pool.map(service.decide, parts or [columns]))
    return Decisions(
        np.concatenate([each.probability for each in done]), np.concatenate([each.label for each in done])
    )


def load_service(
    run: RunFolder, *, released_only: bool = True, predictor: Predictor | None = None
) -> ScoringService:
    """Load the graph that a run serves, every file checked against its hash.

    Parameters
    ----------
    run : RunFolder
        The champion, as a rule.
    released_only : bool, default=True
        Refuse a run that no release let out; the release gates themselves look before that.
    predictor : Predictor, optional
        The graph, where it is loaded already.

    Returns
    -------
    service : ScoringService

    Raises
    ------
    ArtifactError
        If the run is open or refused, or has no graph.
    HashMismatchError
        If a file is not the recorded one, or the graph is another run's.
    """
    if released_only and run.state != "passed":
        raise ArtifactError(f"run {run.run_id}: {run.state}; only a run that passed its gates is served")
    name = run.served_model
    if not run.has(name):
        raise ArtifactError(f"run {run.run_id}: has no {name}; `tabloop export` writes it")
    contract = run.contract
    threshold = run.threshold
    predictor = predictor or Predictor(run.read(name))
    problems = describe_mismatches(run, contract, predictor, threshold)
    if problems:
        raise HashMismatchError(f"run {run.run_id}: {name} does not belong to it: " + "; ".join(problems))
    return ScoringService(run.run_id, contract, predictor, threshold)


def load_tested_service(run: RunFolder) -> ScoringService:
    """Load the graph that a run serves and have it score the run's self-test rows before anybody else's.

    Raises
    ------
    ArtifactError
        If the run was not released or a file is missing.
    HashMismatchError
        If a file is not the recorded one, or the self-test comes out differently.
    """
    service = load_service(run)
    tolerance = SELF_TEST_TOLERANCE
    if run.served_model != FP32_MODEL:
        tolerance = run.parity_report.abs_tol
    difference = self_test_difference(service.predictor, run.self_test)
    if not difference <= tolerance:
        raise HashMismatchError(
            f"run {run.run_id}: its self-test rows come out {difference:g} away from the record, "
            f"at most {tolerance:g} is tolerable"
        )
    return service


def describe_mismatches(
    run: RunFolder, contract: Contract, predictor: Predictor, threshold: float
) -> list[str]:
    """Say in what a graph disagrees with the run that holds it.

    Returns
    -------
    problems : list of str
        Empty when run id, contract, inputs and threshold agree.
    """
    problems = []
    expected = {"run_id": run.run_id, "contract_sha256": run.files[CONTRACT].sha256}
    for key, value in expected.items():
        if predictor.metadata.get(key) != value:
            problems.append(f"its {key} is {predictor.metadata.get(key)}, the run's is {value}")
    if predictor.threshold != threshold:
        problems.append(f"its decision threshold is {predictor.threshold!r}, the run's is {threshold!r}")
    inputs = {str(name): str(kind) for name, kind in input_types(contract).items()}
    if dict(predictor.input_types) != inputs:
        problems.append(f"its inputs are {dict(predictor.input_types)}, the contract's are {inputs}")
    return problems


def self_test_difference(predictor: Predictor, self_test: SelfTest) -> float:
    """Score a run's self-test rows again.

    Parameters
    ----------
    predictor : Predictor
        The graph.
    self_test : SelfTest
        The rows, and the probabilities that the trained model gave.

    Returns
    -------
    max_abs_diff : float
        Infinite if a probability is not finite.
    """
    columns = {
        name: np.asarray([np.nan if v is None else v for v in values] if kind == "double" else values,
                         dtype=object if kind == "string" else None)
        for name, kind in predictor.input_types.items()
        if (values := self_test.columns[name]) is not None
    }  # fmt: skip
    found = predictor.predict(columns)
    difference = np.abs(found - np.asarray(self_test.probabilities, dtype=np.float64))
    return float(difference.max()) if np.isfinite(difference).all() else float("inf")
