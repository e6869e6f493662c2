"""Judge a run, seal it, and make it the champion if every gate holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tabloop.artifacts.documents.document import json_values
from tabloop.artifacts.documents.gates import Gate, Gates
from tabloop.artifacts.layout import FP32_MODEL, PARITY_REPORT, RETRAINING
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.data.run_data import RunData, load_run_data, require_trained
from tabloop.errors import ArtifactError, GateRefusedError
from tabloop.progress import Progress
from tabloop.release.gates import judge
from tabloop.release.prune import prune_datasets, prune_runs


class GatesOfRun(Protocol):
    """Lists, by name, gates that a run has to pass beside those of every run."""

    def __call__(
        self, project: Project, run: RunFolder, store: RunStore, *, dry_run: bool = False
    ) -> Sequence[tuple[str, Callable[[], Gate]]]:
        """List them; a dry run writes no file."""


@dataclass(frozen=True)
class ReleaseDecision:
    """What became of a release.

    Attributes
    ----------
    run_id : str
        The run that was judged.
    promoted : bool
        Whether it is the champion now.
    gates : tuple of Gate
        Every verdict with its evidence.
    dry_run : bool
        Whether it was judged only.
    """

    run_id: str
    promoted: bool
    gates: tuple[Gate, ...]
    dry_run: bool = False

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.gates)


def release(
    project: Project,
    run: RunFolder,
    *,
    data: RunData | None = None,
    challenger_gates: GatesOfRun | None = None,
    allow_infeasible: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ReleaseDecision:
    """Judge a run, seal it, and make it the champion if every gate holds.

    Parameters
    ----------
    project : Project
        Its floors, limits and contract are those in force.
    run : RunFolder
        Open, or sealed as passed already, in which case it is promoted again.
    data : RunData, optional
        The run's rows, if they are at hand; read again otherwise.
    challenger_gates : callable, optional
        Lists the further gates of a challenger; a challenger is not judged without them.
    allow_infeasible : bool, default=False
        Let a run whose promise is infeasible replace a champion that keeps its promise.
    dry_run : bool, default=False
        Judge and change nothing: the run stays open, the champion stays, nothing is noted.
    progress : Progress, optional
        Told which gate is judged.

    Returns
    -------
    decision : ReleaseDecision

    Raises
    ------
    ArtifactError
        If the run was refused before, or a stage is missing.
    HashMismatchError
        If a file of a sealed run, or its manifest, is not the recorded one.
    MachineBusyError
        If other processes leave too little of the machine to judge it; the run stays open.

    Notes
    -----
    The verdict is on disk before the pointer moves: a process killed in between leaves the old
    champion and a run that passed, which `tabloop release` promotes.
    """
    store = RunStore(project.model_dir)
    with store.deciding():
        run = RunFolder(run.path)  # as it is now that nobody else decides
        if not dry_run:
            store.note_unrecorded_champion()
        if run.state == "refused":
            raise ArtifactError(f"run {run.run_id}: its gates refused it; train a new run")
        judged_now = run.state == "open"
        if judged_now:
            _require_stages(run)
            rows = data or load_run_data(project, run)
            if run.is_challenger and challenger_gates is None:
                raise ArtifactError(f"run {run.run_id}: is a challenger; its further gates have to judge it")
            more = () if challenger_gates is None else challenger_gates(project, run, store, dry_run=dry_run)
            gates = judge(
                project.config, run, rows, store, more, allow_infeasible=allow_infeasible, progress=progress
            )
        else:
            store.require_as_written(run)
            gates = run.gates.gates
        passed = all(gate.passed for gate in gates)
        if dry_run:
            return ReleaseDecision(run.run_id, promoted=False, gates=gates, dry_run=True)
        if judged_now:
            run.seal("passed" if passed else "refused", Gates(passed, gates))
        if passed:
            store.promote(run)
        store.note_decision(
            "promoted" if passed else "refused",
            run,
            judged_now=judged_now,
            gates=[json_values(gate) for gate in gates],
            **({"retraining": run.read_json(RETRAINING)} if run.is_challenger else {}),
        )
        prune_runs(store, keep_runs=project.config.artifacts.keep_runs)
        prune_datasets(store, project.config)
    return ReleaseDecision(run.run_id, passed, gates)


def _require_stages(run: RunFolder) -> None:
    require_trained(run)
    for name, command in ((FP32_MODEL, "export"), (PARITY_REPORT, "parity")):
        if not run.has(name):
            raise ArtifactError(f"run {run.run_id}: has no {name} yet; `tabloop {command}` writes it")


def require_promoted(decision: ReleaseDecision) -> None:
    """Raise when a release was refused, naming the gates that said no.

    Raises
    ------
    GateRefusedError
        If a gate refused the run.
    """
    if not decision.passed:
        refused = "\n".join(f"  {g.name}: {g.reason}" for g in decision.gates if not g.passed)
        raise GateRefusedError(f"run {decision.run_id}: not released\n{refused}")
