"""What explains the answers of a run."""

from __future__ import annotations

from tabloop.artifacts.layout import EXPLAINER
from tabloop.artifacts.run import RunFolder
from tabloop.errors import ArtifactError
from tabloop.explanation.contributions import RowExplainer
from tabloop.inference.explainer import Explainer
from tabloop.inference.scoring_service import ScoringService


def row_explainer(run: RunFolder, service: ScoringService) -> RowExplainer:
    """Read what a run kept to explain its answers.

    Parameters
    ----------
    run : RunFolder
        The run.
    service : ScoringService
        Its graph.

    Raises
    ------
    ArtifactError
        If it kept nothing.
    """
    if not run.has(EXPLAINER):
        raise ArtifactError(
            f"run {run.run_id}: has no {EXPLAINER}, which earlier versions did not write; "
            "`tabloop run` makes a run that has it"
        )
    return RowExplainer(Explainer.load(run.read(EXPLAINER)), service.predictor, seed=run.config.seed)
