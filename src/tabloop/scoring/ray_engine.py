"""Files of a data set scored on a Ray cluster: one actor for each CPU, which loads the model once."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tabloop.artifacts.layout import EXPLAINER
from tabloop.artifacts.run import RunFolder
from tabloop.cluster.ray_cluster import joined_cluster, require_agreeing_nodes
from tabloop.contract.contract import Contract
from tabloop.errors import ClusterError, ConfigError, DatabaseError, DataError
from tabloop.explanation.contributions import RowExplainer
from tabloop.explanation.row_explainer import row_explainer
from tabloop.inference.explainer import Explainer
from tabloop.inference.predictor import Predictor
from tabloop.inference.scoring_service import ScoringService, load_service
from tabloop.scoring.input_files import DataSet, InputFile
from tabloop.scoring.input_scorer import FileOutcome, InputScorer
from tabloop.scoring.manifest import Note
from tabloop.scoring.reasons import Reasons, reason_names
from tabloop.storage.open_folder import open_folder

# A file whose worker died so often is what kills it
_MOST_ATTEMPTS = 3
# No actor has started for so long: the cluster is full, or its nodes are gone
_LONGEST_START_S = 300.0
_LOOK_EVERY_S = 5.0


@dataclass(frozen=True)
class _Sent:
    """What an actor makes an `InputScorer` of: the bytes of the run, since a node need not see its folder."""

    run_id: str
    contract: Contract
    model: bytes
    threshold: float
    explainer: bytes | None
    seed: int
    data_set: DataSet
    output: str
    extra_allowed: bool
    n_reasons: int

    def scorer(self) -> InputScorer:
        """Load the model."""
        service = ScoringService(self.run_id, self.contract, Predictor(self.model), self.threshold)
        reasons = None
        if self.explainer is not None:
            explainer = RowExplainer(Explainer.load(self.explainer), service.predictor, seed=self.seed)
            reasons = Reasons(explainer, reason_names(self.n_reasons))
        output = open_folder(self.output)
        return InputScorer(service, self.data_set, output, self.extra_allowed, reasons, threads=1)


class _ScoringActor:
    """Scores files, one after the other."""

    def __init__(self, sent: _Sent) -> None:
        self._scorer = sent.scorer()

    def ready(self) -> bool:
        """Answer once the model is loaded."""
        return True

    def score(self, each: InputFile, notes: Mapping[int, Note]) -> FileOutcome | str:
        """Score a file, or say why it cannot be scored."""
        try:
            with ThreadPoolExecutor(1) as pool:
                return self._scorer.score(each, notes, pool, lambda rows, fraction: None)
        except (DataError, DatabaseError) as error:
            return str(error)


class RayEngine:
    """Scores on a cluster; implements `tabloop.scoring.engine.Engine`.

    Each file is given to an actor that is free, and its parts, refused rows and notes are written from there.
    The file of an actor that dies, alone or with its node, is given to another, which writes the same bytes.

    Parameters
    ----------
    run : RunFolder
        The run that scores.
    data_set : DataSet
        Its folder, and `output`, have to be the same place on every node.
    output : str
        The folder of the answers.
    extra_allowed : bool
        Whether files may have columns that the model does not know.
    n_reasons : int
        How many columns to name that spoke most for each decision.
    address : str or None
        As `joined_cluster` takes it.

    Raises
    ------
    ConfigError
        If the input is a table: it comes over one connection.
    """

    def __init__(
        self,
        run: RunFolder,
        data_set: DataSet,
        output: str,
        *,
        extra_allowed: bool,
        n_reasons: int,
        address: str | None,
    ) -> None:
        if data_set.is_table:
            raise ConfigError(
                f"{data_set.where}: a table comes over one connection, more machines do not help; "
                "score it with --engine local"
            )
        service = load_service(run)
        if n_reasons:
            row_explainer(run, service)  # says if the run kept nothing to explain with
        everywhere = replace(data_set, folder=_absolute(data_set.folder))
        self._sent = _Sent(
            run.run_id, service.contract, run.read(run.served_model), service.threshold,
            run.read(EXPLAINER) if n_reasons else None, run.config.seed,
            everywhere, _absolute(output), extra_allowed, n_reasons,
        )  # fmt: skip
        self._address = address

    def outcomes(
        self, work: Sequence[tuple[InputFile, Mapping[int, Note]]], told: Callable[[str, int, float], None]
    ) -> Iterator[tuple[InputFile, FileOutcome | str]]:
        """Score files, in the order in which they are done."""
        with joined_cluster(self._address, needed_by="--engine ray") as ray:
            nodes = require_agreeing_nodes(ray)
            n_actors = min(len(work), int(sum(node.cpus for node in nodes)))
            for each, outcome in _Crew(ray, self._sent, n_actors).score(work):
                if isinstance(outcome, FileOutcome):
                    told(each.name, sum(note.part.rows_read for note in outcome.notes), 1.0)
                yield each, outcome


class _Crew:
    """Actors, and which file each of them is at."""

    def __init__(self, ray: Any, sent: _Sent, n_actors: int) -> None:
        self._ray = ray
        self._sent = ray.put(sent)  # once, and fetched once by each node
        self._actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_ScoringActor)
        self._starting: dict[Any, Any] = {}
        self._free: list[Any] = []
        self._busy: dict[Any, tuple[Any, InputFile, Mapping[int, Note]]] = {}
        self._attempts: Counter[str] = Counter()
        for _ in range(n_actors):
            self._start()

    def score(
        self, work: Sequence[tuple[InputFile, Mapping[int, Note]]]
    ) -> Iterator[tuple[InputFile, FileOutcome | str]]:
        """Give each file to a free actor, and again to another where one died."""
        waiting = deque(work)
        idle_s = 0.0
        while waiting or self._busy:
            while waiting and self._free:
                each, notes = waiting.popleft()
                actor = self._free.pop()
                self._busy[actor.score.remote(each, notes)] = (actor, each, notes)
            answers = [*self._starting, *self._busy]
            finished, _ = self._ray.wait(answers, num_returns=1, timeout=_LOOK_EVERY_S)
            idle_s = 0.0 if finished or self._busy else idle_s + _LOOK_EVERY_S
            if idle_s >= _LONGEST_START_S:
                raise ClusterError(
                    f"no worker has started for {idle_s:.0f} s: the cluster has no free CPU; "
                    "`ray status` shows what holds them. What was scored is kept: start again to go on"
                )
            for answer in finished:
                if answer in self._starting:
                    self._has_started(answer)
                    continue
                actor, each, notes = self._busy.pop(answer)
                try:
                    outcome = self._ray.get(answer)
                except self._ray.exceptions.RayTaskError as error:
                    raise error.as_instanceof_cause() from error  # the output cannot be written, or a defect
                except self._ray.exceptions.RayError as error:  # the actor died, or its node
                    self._replace(actor)
                    self._attempts[each.name] += 1
                    if self._attempts[each.name] < _MOST_ATTEMPTS:
                        waiting.appendleft((each, notes))
                        continue
                    yield (
                        each,
                        (
                            f"{each.name}: its worker died {_MOST_ATTEMPTS} times (out of memory, "
                            f"or a crash in native code): {' '.join(str(error).split())[:200]}"
                        ),
                    )
                    continue
                self._free.append(actor)
                yield each, outcome

    def _start(self) -> None:
        actor = self._actor.remote(self._sent)
        self._starting[actor.ready.remote()] = actor

    def _replace(self, actor: Any) -> None:
        self._ray.kill(actor)  # one that cannot be reached may be alive
        self._start()

    def _has_started(self, answer: Any) -> None:
        actor = self._starting.pop(answer)
        try:
            self._ray.get(answer)
            self._free.append(actor)
        except self._ray.exceptions.RayError as error:
            self._attempts["start"] += 1
            if self._attempts["start"] > 2 * _MOST_ATTEMPTS:
                raise ClusterError(
                    f"workers do not start: {' '.join(str(error).split())[:500]}; `ray status` tells more"
                ) from error
            self._replace(actor)


def _absolute(where: str) -> str:
    return where if open_folder(where).has_etags else str(Path(where).absolute())
