"""Score a data set into a folder: file by file, going on where an earlier job was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tabloop.artifacts.files import json_bytes, sha256_of_bytes, sha256_of_file
from tabloop.artifacts.run import RunFolder
from tabloop.artifacts.store import RunStore
from tabloop.config.data import DataConfig
from tabloop.config.loading import Project
from tabloop.cores import cpu_count
from tabloop.data.quarantine import require_few_refused
from tabloop.errors import DataError
from tabloop.explanation.row_explainer import row_explainer
from tabloop.inference.scoring_service import load_service
from tabloop.progress import FilesState
from tabloop.scoring.engine import Engine, LocalEngine
from tabloop.scoring.files_progress import FilesProgress
from tabloop.scoring.input_files import DataSet, InputFile, find_data_set
from tabloop.scoring.input_scorer import InputScorer
from tabloop.scoring.manifest import (
    MANIFEST,
    QUARANTINE,
    Input,
    Job,
    Manifest,
    Note,
    read_left_behind,
    write_manifest,
)
from tabloop.scoring.reasons import Reasons, reason_names
from tabloop.storage.folder import Folder
from tabloop.storage.open_folder import open_folder

_SHOWN = 10


@dataclass(frozen=True)
class DataSetReport:
    """What became of a data set.

    Attributes
    ----------
    manifest : Manifest or None
        All that was scored, now or before; None where a file failed.
    output : str
        The folder.
    files, files_before : int
        Files of the input, and those whose answers were all there already.
    changed : tuple of str
        Files that were not the ones any more whose answers were there; they were scored again.
    failed : dict of str to str
        Files that could not be scored, with the reason.
    """

    manifest: Manifest | None
    output: str
    run_id: str
    files: int
    files_before: int
    changed: tuple[str, ...]
    failed: Mapping[str, str]
    config: DataConfig

    def require_complete(self) -> None:
        """Raise `DataError` when a file failed, `QuarantineLimitError` when too many rows were refused."""
        if self.failed:
            shown = [f"\n  {message}" for message in list(self.failed.values())[:_SHOWN]]
            more = len(self.failed) - len(shown)
            raise DataError(
                f"{self.output}: {len(self.failed):,} of {self.files:,} files could not be scored"
                f"{''.join(shown)}{f'{chr(10)}  and {more:,} more' if more else ''}\n"
                f"The answers to the others are there, without {MANIFEST}; mend these files or take them out "
                "and start again: it goes on with what is missing"
            )
        if self.manifest is None:
            return
        reasons = sorted(self.manifest.reasons.items(), key=lambda item: -item[1])
        require_few_refused(
            self.manifest.job.input, self.manifest.rows_refused, self.manifest.rows_read, self.config,
            described="\n".join(f"  {reason}: {rows:,} rows" for reason, rows in reasons),
            then=f"The others are scored; {self.output}/{QUARANTINE} holds these.",
        )  # fmt: skip


def score_data_set(
    project: Project,
    run_id: str | None,
    source: str | None,
    output: str,
    *,
    n_reasons: int = 0,
    address: str | None = None,
    progress: Callable[[FilesState], None] | None = None,
) -> DataSetReport:
    """Score a data set into a folder.

    Parameters
    ----------
    project : Project
        Every setting in force.
    run_id : str or None
        A run that has passed; None for the champion.
    source : str or None
        What `find_data_set` takes.
    output : str
        A folder, as `open_folder` takes it. What an earlier job of the same input, run and settings left
        there is not scored again.
    n_reasons : int, default=0
        How many columns to name that spoke most for each decision.
    address : str, optional
        The cluster, where `scoring.engine` is `ray`; see `joined_cluster`.
    progress : callable, optional
        Told how far it is.

    Returns
    -------
    report : DataSetReport
        A file that fails does not stop the others.

    Raises
    ------
    DataError
        If there is no such input, or the folder holds answers of another job.
    StorageError, ArtifactError
        If the output cannot be written.
    ClusterError, MissingExtraError
        If the work is for a cluster and there is none.
    """
    data_set = find_data_set(project.config.data, project.folder, source)
    folder = open_folder(output)
    _require_apart(data_set, folder)
    store = RunStore(project.model_dir)
    run = store.get_or_champion(run_id)
    job = Job(
        input=data_set.where, run_id=run.run_id, settings_sha256=_settings_hash(project, data_set, n_reasons)
    )
    left = read_left_behind(folder)
    if left.job is not None:
        job.require_same(left.job, folder.where)
    _require_no_file_gone(data_set, left.notes, folder)
    by_file: dict[str, dict[int, Note]] = {each.name: {} for each in data_set.files}
    for (name, number), note in left.notes.items():
        by_file[name][number] = note
    done = {each.name: list(by_file[each.name].values()) for each in data_set.files
            if not data_set.is_table and _is_done(each, by_file[each.name], data_set)}  # fmt: skip
    work = [(each, by_file[each.name]) for each in data_set.files if each.name not in done]
    changed, failed, n_before = [], {}, len(done)
    if work:
        left.reopen(folder, job)
        engine = _engine(project, run, data_set, folder, n_reasons, address)
        tracker = FilesProgress([each for each, _ in work], n_before, progress)
        for each, outcome in engine.outcomes(work, tracker.told):
            tracker.ended(each.name)
            if isinstance(outcome, str):
                failed[each.name] = outcome
                continue
            done[each.name] = outcome.notes
            n_before += not outcome.parts_scored
            if outcome.is_changed:
                changed.append(each.name)
    manifest = None
    if not failed:
        in_order = [note for each in data_set.files for note in done[each.name]]
        manifest = _manifest(job, in_order, has_etags=open_folder(data_set.folder).has_etags)
        if work or not left.is_complete:
            folder.remove_unfinished()
            write_manifest(folder, manifest)
    return DataSetReport(
        manifest, folder.where, run.run_id, len(data_set.files), n_before, tuple(changed), failed,
        data_set.config,
    )  # fmt: skip


def _engine(
    project: Project, run: RunFolder, data_set: DataSet, output: Folder, n_reasons: int, address: str | None
) -> Engine:
    extra_allowed = project.config.scoring.extra_columns == "pass"
    if project.config.scoring.engine == "ray":
        from tabloop.scoring.ray_engine import RayEngine

        return RayEngine(
            run, data_set, output.where, extra_allowed=extra_allowed, n_reasons=n_reasons, address=address
        )
    service = load_service(run)
    names = reason_names(n_reasons)
    reasons = Reasons(row_explainer(run, service), names) if names else None
    return LocalEngine(InputScorer(service, data_set, output, extra_allowed, reasons, cpu_count()))


def _is_done(each: InputFile, notes: Mapping[int, Note], data_set: DataSet) -> bool:
    """Tell whether every part of a file is there, and the file the same (a manifest knows it by its hash)."""
    known = {(n.input.version, n.input.bytes, n.input.sha256) for n in notes.values()}
    is_whole = sorted(notes) == list(range(len(notes))) and any(note.is_last for note in notes.values())
    if each.entry is None or not is_whole or len(known) != 1:
        return False
    ((version, size, sha256),) = known
    if size != each.bytes or version is not None:
        return size == each.bytes and version == each.entry.version
    with open_folder(data_set.folder).local_copy(each.entry) as path:
        return sha256_of_file(path) == sha256


def _settings_hash(project: Project, data_set: DataSet, n_reasons: int) -> str:
    """Hash what the answers depend on besides the run and the input."""
    config = data_set.config
    settings = {
        "source": config.source.model_dump(mode="json", exclude=set() if data_set.is_table else {"path"}),
        "ignore": list(config.ignore),
        "limits": config.limits.model_dump(mode="json"),
        "extra_columns": project.config.scoring.extra_columns,
        "reasons": n_reasons,
    }
    return sha256_of_bytes(json_bytes(settings))


def _require_apart(data_set: DataSet, output: Folder) -> None:
    """Raise `DataError` when answers would be written among the files that are read."""
    inside, around = f"{output.where}/", f"{data_set.folder}/"
    if not output.has_etags:
        if Path(output.where).is_file():
            raise DataError(f"{output.where}: is a file; expected a folder, or a name for one")
        inside, around = f"{Path(output.where).resolve()}/", f"{Path(data_set.folder).resolve()}/"
    many = len(data_set.files) > 1 or data_set.where == data_set.folder
    if not data_set.is_table and (inside == around or (many and inside.startswith(around))):
        raise DataError(f"{output.where}: lies in the input {data_set.where}; choose a folder beside it")


def _require_no_file_gone(data_set: DataSet, notes: Mapping[tuple[str, int], Note], output: Folder) -> None:
    names = {each.name for each in data_set.files}
    gone = sorted({name for name, _ in notes} - names)
    if gone:
        shown = ", ".join(gone[:_SHOWN]) + (f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else "")
        raise DataError(
            f"{output.where}: holds answers to files that {data_set.where} has no more: {shown}; "
            "put them back, or choose another output"
        )


def _manifest(job: Job, notes: Sequence[Note], *, has_etags: bool) -> Manifest:
    parts = [note.part for note in notes]
    inputs = {note.input.path: note.input for note in notes}
    reasons: Counter[str] = Counter()
    for part in parts:
        reasons.update(part.reasons)
    return Manifest(
        job=job,
        rows_read=sum(part.rows_read for part in parts),
        rows_scored=sum(part.rows_scored for part in parts),
        positive_rows=sum(part.positive_rows for part in parts),
        rows_refused=sum(part.rows_refused for part in parts),
        reasons=dict(reasons),
        inputs=[
            Input(path=each.path, bytes=each.bytes, sha256=each.sha256,
                  version=each.version if has_etags else None)
            for each in inputs.values()
        ],
        parts=parts,
    )  # fmt: skip
