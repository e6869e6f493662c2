"""What `_manifest.json` of a scored data set holds, and the notes that a killed job goes on from."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tabloop.artifacts.documents.document import document_bytes, parse_document
from tabloop.errors import DataError
from tabloop.storage.folder import Folder

#: Written last: a folder with it holds an answer to every row. Readers of folders pass over names with `_`.
MANIFEST = "_manifest.json"
#: Holds a note of each part that is finished, until the manifest has them all.
NOTES = "_parts"
#: Refused rows, by part.
QUARANTINE = "_quarantine"
_JOB = f"{NOTES}/job.json"
_FORMAT_VERSION = 1


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file of answers.

    Attributes
    ----------
    path : str
        Below the output folder.
    input : str
        The file that its rows are of, below the input folder.
    bytes, sha256 : int and str
        Its size and hash.
    rows_read, rows_scored, positive_rows, rows_refused : int
        Of the input; those not scored were refused by the contract.
    reasons : dict of str to int
        Refused rows by `column: reason`.
    quarantine : str or None
        The refused rows, a JSON line each, below the output folder.
    rows_sha256 : str or None
        Hash of the rows that were read, where the input is a table.
    """

    path: str
    input: str
    bytes: int
    sha256: str
    rows_read: int
    rows_scored: int
    positive_rows: int
    rows_refused: int
    reasons: dict[str, int]
    quarantine: str | None = None
    rows_sha256: str | None = None


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read.

    Attributes
    ----------
    path : str
        Below the input folder; of a table, its name.
    bytes : int
        Its size; 0 of a table.
    sha256 : str
        Hash of its bytes; of a table, of the rows.
    version : str or None
        Its ETag in object storage. A note has the time of a local file in its place.
    """

    path: str
    bytes: int
    sha256: str
    version: str | None = None


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A finished part, the input that it is of, and whether it is the last of it."""

    part: Part
    input: Input
    number: int
    is_last: bool


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be the same for a job to go on.

    Attributes
    ----------
    input : str
        What a person called it.
    run_id : str
        The run that scores.
    settings_sha256 : str
        Hash of the settings that the answers depend on.
    """

    format_version: int = _FORMAT_VERSION
    input: str
    run_id: str
    settings_sha256: str

    def require_same(self, before: Job, where: str) -> None:
        """Raise `DataError` when a folder holds parts of another job."""
        advice = "choose another output, or remove the folder"
        if before.format_version != self.format_version:
            raise DataError(f"{where}: was written by another version of tabloop; {advice}")
        if before.input != self.input:
            raise DataError(f"{where}: holds answers to {before.input}, not to {self.input}; {advice}")
        if before.run_id != self.run_id:
            raise DataError(
                f"{where}: holds parts that run {before.run_id} scored, and this is run {self.run_id}; "
                f"--run {before.run_id} goes on with that run; or {advice}"
            )
        if before.settings_sha256 != self.settings_sha256:
            raise DataError(
                f"{where}: holds parts that were scored under other settings (data, scoring.extra_columns, "
                f"--reasons); {advice}"
            )


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A scored data set; the same bytes, however often the job was killed.

    Attributes
    ----------
    job : Job
        What was scored, and by which run.
    rows_read, rows_scored, positive_rows, rows_refused : int
        The sums over all parts.
    reasons : dict of str to int
        Refused rows by `column: reason`.
    inputs : list of Input
        Every file that was read.
    parts : list of Part
        Every file that was written, in the order of the input.
    """

    job: Job
    rows_read: int
    rows_scored: int
    positive_rows: int
    rows_refused: int
    reasons: dict[str, int]
    inputs: list[Input]
    parts: list[Part]

    def notes(self) -> list[Note]:
        """Give what the notes said before the manifest was written."""
        inputs = {each.path: each for each in self.inputs}
        numbers: dict[str, int] = {}
        last = {part.input: part.path for part in self.parts}
        notes = []
        for part in self.parts:
            number = numbers[part.input] = numbers.get(part.input, -1) + 1
            is_last = last[part.input] == part.path
            notes.append(Note(part=part, input=inputs[part.input], number=number, is_last=is_last))
        return notes


def write_note(folder: Folder, note: Note) -> None:
    """Write down that a part is finished."""
    with folder.writing(f"{NOTES}/{note.part.path}.json") as file:
        file.write(document_bytes(note))


def write_manifest(folder: Folder, manifest: Manifest) -> None:
    """Write the manifest, and remove the notes that it holds."""
    with folder.writing(MANIFEST) as file:
        file.write(document_bytes(manifest))
    for entry in list(folder.entries(NOTES)):
        folder.remove(entry.path)


@dataclass(frozen=True)
class LeftBehind:
    """What an earlier job left in a folder, whether it was killed or came to its end.

    Attributes
    ----------
    job : Job or None
        None where there was none.
    notes : dict of (str, int) to Note
        Finished parts that are there in their size, by input and number.
    has_manifest : bool
        Whether the job came to its end.
    is_complete : bool
        Whether it did, and nothing was begun afterwards.
    """

    job: Job | None
    notes: dict[tuple[str, int], Note]
    has_manifest: bool
    is_complete: bool

    def reopen(self, folder: Folder, job: Job) -> None:
        """Make the folder one that is worked on, in which each finished part has a note of its own."""
        if self.has_manifest:
            for note in self.notes.values():
                write_note(folder, note)
        with folder.writing(_JOB) as file:
            file.write(document_bytes(job))
        folder.remove(MANIFEST)


def read_left_behind(folder: Folder) -> LeftBehind:
    """Look what an earlier job left."""
    sizes = {entry.path: entry.bytes for entry in folder.entries()}
    job, notes = None, []
    if MANIFEST in sizes:
        manifest = parse_document(folder.read(MANIFEST), Manifest, f"{folder.where}/{MANIFEST}")
        job, notes = manifest.job, manifest.notes()
    elif _JOB in sizes:
        job = parse_document(folder.read(_JOB), Job, f"{folder.where}/{_JOB}")
    own = sorted(path for path in sizes if path.startswith(f"{NOTES}/") and path.endswith(".json"))
    for path in own:
        if path != _JOB:
            notes.append(parse_document(folder.read(path), Note, f"{folder.where}/{path}"))
    there = {
        (note.input.path, note.number): note
        for note in notes
        if sizes.get(note.part.path) == note.part.bytes
        and (note.part.quarantine is None or note.part.quarantine in sizes)
    }
    has_manifest = MANIFEST in sizes
    is_complete = has_manifest and not own and len(there) == len(notes)
    return LeftBehind(job, there, has_manifest, is_complete)
