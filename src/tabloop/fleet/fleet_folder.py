"""One picture of the fleet: a folder that holds what one machine would hold that had answered everything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tabloop.artifacts.documents.document import parse_document
from tabloop.artifacts.layout import FLEET
from tabloop.artifacts.prediction_log.upkeep import keep_up
from tabloop.artifacts.store import RunStore
from tabloop.config.loading import Project
from tabloop.errors import ArtifactMissingError
from tabloop.fleet.machine import MachineReport
from tabloop.fleet.merged_log import MergedLog
from tabloop.fleet.merged_outcomes import MergedOutcomes
from tabloop.fleet.pointer import Pointer
from tabloop.fleet.promote import promote_run
from tabloop.fleet.remote import MACHINE, MACHINES, machine_key
from tabloop.fleet.remote_runs import RemoteRuns
from tabloop.fleet.retrainings import SharedRetrainings
from tabloop.fleet.shipper import age_s
from tabloop.storage.object_store import ObjectStore

Standing = Literal["ok", "late", "silent", "left"]
#: Greater than every id.
_NO_LIMIT = "g"


@dataclass(frozen=True)
class MachineState:
    """How one machine stands.

    Attributes
    ----------
    machine : str
        Its name.
    standing : {"ok", "late", "silent", "left"}
        Late: it is there, but its log is older than its files should be; silent: it said nothing for
        `monitoring.silent_after_s`, and nobody waits for it; left: it stopped in good order.
    said_at, complete_before : str
        When it said something last, and up to when its log is on the remote.
    waiting_files : int
        Closed files that it could not ship yet.
    run_id : str or None
        The run that it serves.
    """

    machine: str
    standing: Standing
    said_at: str
    complete_before: str
    waiting_files: int
    run_id: str | None


class StoredReport(NamedTuple):
    """What a machine said, and the version of the object that holds it."""

    report: MachineReport
    version: str


@dataclass(frozen=True)
class FleetState:
    """What is known of the machines.

    Attributes
    ----------
    pointer : str
        The pointer whose run is the champion.
    run_id : str
        The run.
    complete_before : str or None
        Up to when all machines that count have shipped their log; None where none is waited for.
    machines : list of MachineState
        The machines in the order of their names.
    problems : list of str
        Files on the remote that could not be taken.
    """

    pointer: str
    run_id: str
    complete_before: str | None
    machines: list[MachineState] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def alarms(self) -> dict[str, str]:
        """Name the machines that are late or silent, each as an alarm of its own."""
        return {
            f"machine:{each.machine}": f"{each.machine} is {each.standing}: it last said something at "
            f"{each.said_at}, and its log is there up to {each.complete_before}"
            for each in self.machines
            if each.standing in ("late", "silent")
        }

    def troubles(self) -> list[str]:
        """Say what is wrong, in whole sentences."""
        return [*self.alarms().values(), *self.problems]


class FleetFolder:
    """Brings the fleet's runs, log and outcomes into `fleet/` below the artifact folder.

    Whatever works on the artifact folder of one machine (monitor, drift, report, retrain) works on it.

    Parameters
    ----------
    project : Project
        The settings in force.
    remote : ObjectStore
        The object storage that everything is shipped to.
    pointer : str
        Leads to the champion of the fleet.

    Attributes
    ----------
    project : Project
        The same settings, for the folder of the fleet.
    log : MergedLog
        The logs of all machines.
    """

    def __init__(self, project: Project, remote: ObjectStore, pointer: str) -> None:
        folder = (project.model_dir / FLEET).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        artifacts = project.config.artifacts.model_copy(update={"model_dir": str(folder)})
        log = project.config.prediction_log.model_copy(update={"ship": False})
        config = project.config.model_copy(update={"artifacts": artifacts, "prediction_log": log})
        self.project = Project(config, project.config_path)
        self.log = MergedLog(folder, remote, rotate_bytes=log.rotate_bytes)
        self._outcomes = MergedOutcomes(folder, remote)
        self._store = RunStore(folder)
        self._remote = remote
        self._pointer = Pointer(remote, pointer)
        self._retrainings = SharedRetrainings(remote, pointer, self._store)
        #: What machines said that left, and which version of it lay there at the latest look.
        self._left: dict[str, StoredReport] = {}
        self._versions: dict[str, str] = {}

    def gather(self) -> FleetState:
        """Take in what is new on the remote.

        Raises
        ------
        StorageError
            If it does not answer.
        ArtifactMissingError
            If there is no such pointer.
        HashMismatchError
            If the run that the pointer leads to is not the recorded one.
        """
        self._retrainings.gather()
        run_id = self._follow_pointer()
        reports = self._read_reports()
        # a machine ships its files before it says so: list them after the reports were read
        entries = list(self._remote.entries(f"{MACHINES}/"))
        keys = [key for key, _, _ in entries]
        self._versions = {key: version for key, _, version in entries if key.endswith(f"/{MACHINE}")}
        machines = [self._state_of(report) for report in reports]
        waited_for = [
            report
            for report, state in zip(reports, machines, strict=True)
            if state.standing in ("ok", "late")
        ]
        limit = min((report.complete_before for report in waited_for), default=_NO_LIMIT)
        self.log.gather(keys, limit)
        self._outcomes.gather(keys)
        keep_up(self.project.model_dir, self.project.config.prediction_log)
        return FleetState(
            pointer=self._pointer.name,
            run_id=run_id,
            complete_before=min((report.complete_before_time for report in waited_for), default=None),
            machines=machines,
            problems=[*self.log.problems.values(), *self._outcomes.problems.values()],
        )

    def _follow_pointer(self) -> str:
        """Make the run that the pointer leads to the champion here, live since the pointer was moved."""
        state = self._pointer.read()
        if state is None:
            raise ArtifactMissingError(f"{self._pointer.where}: no such pointer; `tabloop promote` makes it")
        move = state.move
        noted = [d for d in self._store.decisions() if d["run_id"] == move.run_id and "move" in d]
        is_noted = bool(noted) and (noted[-1]["pointer"], noted[-1]["move"]) == (move.pointer, move.sequence)
        if self._store.champion_name() != move.run_id or not is_noted:
            runs = RemoteRuns(self._remote)
            run = runs.pull(move.run_id, self._store, manifest_sha256=move.manifest_sha256)
            with self._store.deciding():
                self._store.promote(run)
                self._store.note_decision(
                    "promoted",
                    run,
                    live_since=move.moved_at,
                    pointer=move.pointer,
                    move=move.sequence,
                    moved_by=move.moved_by,
                    reason=move.reason,
                )
        return move.run_id

    def promote(self, run_id: str, from_run_id: str) -> None:
        """Copy a run of this folder to the remote, and lead the pointer to it.

        Raises
        ------
        PointerMovedError
            If the pointer does not lead to `from_run_id`, the run that the new one was judged against.
        """
        RemoteRuns(self._remote).push(self._store.get(run_id))
        promote_run(
            self._remote, run_id, self._pointer.name, reason="a retraining passed", from_run_id=from_run_id
        )

    def share_retrainings(self) -> None:
        """Let the others of the fleet know what was retrained here, and what came of it.

        Raises
        ------
        StorageError
            If the remote does not answer.
        """
        self._retrainings.share()

    def _read_reports(self) -> list[MachineReport]:
        """Read what each machine said last; of those that left, only where it changed."""
        reports = []
        for machine in self._remote.folders(MACHINES):
            key = machine_key(machine, MACHINE)
            known = self._left.get(key)
            if known is None or known.version != self._versions.get(key):
                found = self._remote.read(key)
                if found is None:  # somebody removed it: the machine will not come back
                    continue
                known = StoredReport(parse_document(found.content, MachineReport, key), found.version)
                if known.report.left_at is not None:
                    self._left[key] = known
            reports.append(known.report)
        return reports

    def _state_of(self, report: MachineReport) -> MachineState:
        silent_s = self.project.config.monitoring.silent_after_s
        rotate_hours = self.project.config.prediction_log.rotate_hours
        standing: Standing = "ok"
        if report.left_at is not None:
            standing = "left"
        elif age_s(report.written_at) > silent_s:
            standing = "silent"
        elif rotate_hours is not None and age_s(report.complete_before_time) > 3600 * rotate_hours + silent_s:
            standing = "late"
        return MachineState(
            machine=report.machine,
            standing=standing,
            said_at=report.written_at,
            complete_before=report.complete_before_time,
            waiting_files=report.waiting_files,
            run_id=report.run_id,
        )
