"""Score one file of a data set (or a table) into parts, each of which appears whole, with a note of it."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import cast

import polars as pl

from tabloop.artifacts.files import sha256_of_bytes, sha256_of_file
from tabloop.config.data import DataConfig
from tabloop.data.checked_rows import require_source_columns
from tabloop.data.open_source import open_source, source_of_file
from tabloop.data.quarantine import Quarantine
from tabloop.data.row_source import RowSource
from tabloop.errors import DataError
from tabloop.inference.scoring_service import ScoringService
from tabloop.scoring.input_files import DataSet, InputFile
from tabloop.scoring.manifest import NOTES, QUARANTINE, Input, Note, Part, write_note
from tabloop.scoring.part_cut import PartCut
from tabloop.scoring.partitioned_rows import PartitionedRows
from tabloop.scoring.reasons import Reasons
from tabloop.scoring.slices import ScoredSlice, SliceScorer, score_side_by_side
from tabloop.storage.folder import Folder
from tabloop.storage.open_folder import open_folder

Told = Callable[[int, float], None]


@dataclass(frozen=True)
class FileOutcome:
    """What became of a file.

    Attributes
    ----------
    notes : list of Note
        The notes of all its parts, in order.
    is_changed : bool
        Whether it was not the one any more whose parts were there.
    parts_scored : int
        How many parts were not there before and are scored now.
    """

    notes: list[Note]
    is_changed: bool
    parts_scored: int


@dataclass(frozen=True)
class InputScorer:
    """Scores the files of a data set; threads may share it.

    Attributes
    ----------
    service : ScoringService
        What decides.
    data_set : DataSet
        Where the files are, and how they are written.
    output : Folder
        Where parts, refused rows and notes go.
    extra_allowed : bool
        Whether files may have columns that the model does not know; they pass through.
    reasons : Reasons or None
        Adds the columns that spoke most for each decision.
    threads : int
        Slices that are scored side by side.
    """

    service: ScoringService
    data_set: DataSet
    output: Folder
    extra_allowed: bool
    reasons: Reasons | None
    threads: int
    stop: threading.Event = field(default_factory=threading.Event)

    def score(
        self, each: InputFile, notes: Mapping[int, Note], pool: ThreadPoolExecutor, told: Told
    ) -> FileOutcome:
        """Score what is not there yet.

        Parameters
        ----------
        each : InputFile
            The file.
        notes : mapping of int to Note
            Parts that are there, if the file is still the one that they are of.
        pool : ThreadPoolExecutor
            Scores slices.
        told : callable
            Told rows that were scored, and the fraction of the file that was read.

        Raises
        ------
        DataError, DatabaseError
            If it cannot be read or its columns are not the contract's.
        StorageError, ArtifactError
            If the output cannot be written.
        """
        if each.entry is None:
            entry = Input(path=each.name, bytes=0, sha256="")
            return self._score(
                each, self.data_set.config, Path(self.data_set.folder), entry, notes, pool, told
            )
        folder = open_folder(self.data_set.folder)
        where = str(Path(folder.where, each.name)) if not folder.has_etags else f"{folder.where}/{each.name}"
        path = Path()
        try:
            with folder.local_copy(each.entry) as path:
                entry = Input(
                    path=each.name, bytes=each.bytes, sha256=sha256_of_file(path), version=each.entry.version
                )
                source = source_of_file(self.data_set.config.source, path)
                config = self.data_set.config.model_copy(update={"source": source})
                return self._score(each, config, Path(), entry, notes, pool, told)
        except DataError as error:
            if folder.has_etags and type(error) is DataError and path.name:
                # names the object in place of the temporary file that it was downloaded to
                raise DataError(str(error).replace(str(path), where)) from error
            raise

    def _score(
        self,
        each: InputFile,
        config: DataConfig,
        folder: Path,
        entry: Input,
        notes: Mapping[int, Note],
        pool: ThreadPoolExecutor,
        told: Told,
    ) -> FileOutcome:
        is_table = each.entry is None
        before = notes
        if not is_table:
            notes = {n: note for n, note in notes.items() if note.input.sha256 == entry.sha256}
        contract = self.service.contract
        opened = open_source(config.source, folder, contract, limits=config.limits, with_target=False)
        with contextlib.closing(opened) as raw:
            added = {
                name: value
                for name, value in each.partition.items()
                if name in contract.columns and name not in raw.columns
            }
            rows: RowSource = PartitionedRows(raw, added) if added else raw
            scorer = SliceScorer(self.service, config, (), self.reasons)
            taken = set(scorer.answers) & set(rows.columns)
            if taken:
                raise DataError(f"{rows.where}: has columns named {', '.join(sorted(taken))} already")
            require_source_columns(
                rows, config, contract, with_target=False, extra_allowed=self.extra_allowed
            )
            cut = PartCut(rows, notes, self.stop, is_table=is_table)
            dtypes = raw.dtypes or [pl.String()] * len(raw.columns)
            schema = pl.Schema(dict(zip(raw.columns, dtypes, strict=True)) | dict(scorer.answers))
            finished = _finish_parts(
                self, each, entry, cut, scorer, schema, config, pool,
                lambda n: told(n, rows.fraction_read or 0.0),
            )  # fmt: skip
            done = {**{n: notes[n] for n in cut.skipped}, **{note.number: note for note in finished}}
            if is_table:
                entry = Input(path=each.name, bytes=0, sha256=rows.sha256)
            done = {n: _of_input(note, entry) for n, note in sorted(done.items())}
        kept = {note.part.path for note in done.values()}
        for note in before.values():
            if note.part.path not in kept:
                self._remove(note)
        is_changed = any(number not in cut.skipped for number in before)
        return FileOutcome(list(done.values()), is_changed, len(finished))

    def write(
        self, each: InputFile, entry: Input, number: int, frame: pl.DataFrame, found: _Found, is_last: bool
    ) -> Note:
        """Write a part: first its refused rows, then the answers, then the note."""
        path = part_path(each.name, number, is_table=each.entry is None)
        quarantine = None
        if found.quarantine.rows:
            quarantine = f"{QUARANTINE}/{path}.jsonl"
            with self.output.writing(quarantine) as file:
                file.write(found.lines.getbuffer())
        buffer = io.BytesIO()
        frame.write_csv(buffer) if path.lower().endswith(".csv") else frame.write_parquet(buffer)
        content = buffer.getvalue()
        with self.output.writing(path) as file:
            file.write(content)
        part = Part(
            path=path,
            input=each.name,
            bytes=len(content),
            sha256=sha256_of_bytes(content),
            rows_read=frame.height + found.quarantine.rows,
            rows_scored=frame.height,
            positive_rows=found.positive_rows,
            rows_refused=found.quarantine.rows,
            reasons=dict(sorted(found.quarantine.reasons.items())),
            quarantine=quarantine,
            rows_sha256=found.rows_sha256,
        )
        note = Note(part=part, input=entry, number=number, is_last=is_last)
        write_note(self.output, note)
        return note

    def _remove(self, note: Note) -> None:
        self.output.remove(f"{NOTES}/{note.part.path}.json")
        for path in (note.part.path, note.part.quarantine):
            if path is not None:
                self.output.remove(path)


def part_path(name: str, number: int, *, is_table: bool = False) -> str:
    """Name a part after its input.

    Examples
    --------
    >>> part_path("day=1/a.parquet", 0), part_path("orders", 12, is_table=True)
    ('day=1/a-00000.parquet', 'orders-00012.parquet')
    """
    path = PurePosixPath(name)
    if is_table:
        return f"{name}-{number:05}.parquet"
    return str(path.with_name(f"{path.stem}-{number:05}{path.suffix}"))


@dataclass
class _Found:
    """What a part is made of, besides its frames."""

    quarantine: Quarantine
    lines: io.BytesIO
    frames: list[pl.DataFrame] = field(default_factory=list)
    positive_rows: int = 0
    rows_sha256: str | None = None

    def add(self, scored: ScoredSlice) -> None:
        scored.refused.add_to(self.quarantine)
        self.frames.append(scored.frame)
        self.positive_rows += scored.positive_rows


def _finish_parts(
    scorer: InputScorer,
    each: InputFile,
    entry: Input,
    cut: PartCut,
    slices: SliceScorer,
    schema: pl.Schema,
    config: DataConfig,
    pool: ThreadPoolExecutor,
    scored_rows: Callable[[int], None],
) -> list[Note]:
    """Score, and write each part on a thread of its own while the next is scored."""
    notes: list[Note] = []
    number, found = -1, None
    writing: Future[Note] | None = None

    def finish(writer: ThreadPoolExecutor, *, is_last: bool) -> None:
        nonlocal writing
        if writing is not None:  # one part waits at most: this is what is in memory
            notes.append(writing.result())
            writing = None
        if found is not None:
            frame = pl.concat(found.frames, rechunk=True).select(schema.names())
            found.frames.clear()
            found.rows_sha256 = cut.hashes.get(number)
            writing = writer.submit(scorer.write, each, entry, number, frame, found, is_last)

    def begin() -> _Found:
        lines = io.BytesIO()
        return _Found(Quarantine(config.limits, lines), lines)

    with ThreadPoolExecutor(1) as writer:
        left = lambda: config.limits.quarantine_rows  # noqa: E731
        for scored in score_side_by_side(slices, cut.slices(), pool, scorer.threads, left):
            if (next_number := cut.number()) != number:
                finish(writer, is_last=False)
                number, found = next_number, begin()
            cast("_Found", found).add(scored)
            scored_rows(scored.rows_read)
        if found is None and not cut.skipped:  # no row at all: a part without rows
            number, found = 0, begin()
            found.frames.append(pl.DataFrame(schema=schema))
        finish(writer, is_last=number == cut.last)
        found = None
        finish(writer, is_last=False)
    return notes


def _of_input(note: Note, entry: Input) -> Note:
    return Note(part=note.part, input=entry, number=note.number, is_last=note.is_last)
