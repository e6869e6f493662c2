"""Files of a data set scored on a Ray cluster: one actor for each CPU, which loads the model once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tabloop.artifacts.layout import EXPLAINER
from tabloop.artifacts.run import RunFolder
from tabloop.cluster.crew import Crew, WorkerDied
from tabloop.cluster.ray_cluster import joined_cluster
from tabloop.contract.contract import Contract
from tabloop.errors import ConfigError, DatabaseError, DataError
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

_Item = tuple[InputFile, Mapping[int, Note]]


@dataclass(frozen=True)
class _Sent:
    """What a worker makes an `InputScorer` of: the bytes of the run, since a node need not see its folder."""

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

    def begin(self) -> Callable[[_Item], FileOutcome | str]:
        """Load the model; what is given scores a file, or says why it cannot be scored."""
        service = ScoringService(self.run_id, self.contract, Predictor(self.model), self.threshold)
        reasons = None
        if self.explainer is not None:
            explainer = RowExplainer(Explainer.load(self.explainer), service.predictor, seed=self.seed)
            reasons = Reasons(explainer, reason_names(self.n_reasons))
        output = open_folder(self.output)
        scorer = InputScorer(service, self.data_set, output, self.extra_allowed, reasons, threads=1)

        def score(item: _Item) -> FileOutcome | str:
            try:
                with ThreadPoolExecutor(1) as pool:
                    return scorer.score(*item, pool, lambda rows, fraction: None)
            except (DataError, DatabaseError) as error:
                return str(error)

        return score


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
            crew = Crew[_Item, FileOutcome | str](ray, self._sent, most=len(work))
            for place, outcome in crew.outcomes(work):
                each, _ = work[place]
                if isinstance(outcome, FileOutcome):
                    told(each.name, sum(note.part.rows_read for note in outcome.notes), 1.0)
                yield each, f"{each.name}: {outcome}" if isinstance(outcome, WorkerDied) else outcome


def _absolute(where: str) -> str:
    return where if open_folder(where).has_etags else str(Path(where).absolute())
