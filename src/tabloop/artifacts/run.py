"""One run's folder: open while its stages write, then sealed for good."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import msgspec
from pydantic import ValidationError

from tabloop.artifacts.documents.document import FORMAT_VERSION, Document, document_bytes, parse_document
from tabloop.artifacts.documents.drift_baseline import DriftBaseline
from tabloop.artifacts.documents.gates import Gates
from tabloop.artifacts.documents.graphs import ExportReport, RunParity, SelfTest
from tabloop.artifacts.documents.lineage import Lineage
from tabloop.artifacts.documents.manifest import FileEntry, Manifest, RunState
from tabloop.artifacts.documents.metrics import Metrics
from tabloop.artifacts.documents.quantize import QuantizeReport
from tabloop.artifacts.documents.retraining import RetrainingRecord
from tabloop.artifacts.documents.search import SearchReport
from tabloop.artifacts.files import (
    locked,
    open_atomic,
    sha256_of_file,
    utc_now,
    write_atomic,
)
from tabloop.artifacts.layout import (
    CONFIG,
    CONTRACT,
    DRIFT_BASELINE,
    EXPORT_REPORT,
    FP32_MODEL,
    GATES,
    INT8_MODEL,
    LINEAGE,
    MANIFEST,
    METRICS,
    MODEL_CARD,
    PARITY_REPORT,
    QUANTIZE_REPORT,
    RETRAINING,
    SEARCH,
    SELF_TEST,
    THRESHOLD,
)
from tabloop.artifacts.manifest import read_manifest
from tabloop.artifacts.temporary import remove_abandoned
from tabloop.contract.contract import Contract
from tabloop.errors import ArtifactError, ArtifactMissingError, HashMismatchError

if TYPE_CHECKING:
    from tabloop.config.config import Config


class RunFolder:
    """The files of one run and the hashes they were written with.

    Parameters
    ----------
    path : pathlib.Path
        The run's folder; `RunStore` makes and finds them.

    Raises
    ------
    ArtifactMissingError
        If there is no such run.
    ArtifactError
        If its manifest cannot be read or is of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._manifest = read_manifest(path)

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make a new, open run.

        Raises
        ------
        FileExistsError
            If the folder is there already.
        """
        path.mkdir()
        manifest = Manifest(
            format_version=FORMAT_VERSION, run_id=path.name, state="open", created_at=utc_now(), files={}
        )
        write_atomic(path / MANIFEST, document_bytes(manifest))
        return cls(path)

    @property
    def run_id(self) -> str:
        """The run's name; later runs sort after earlier ones."""
        return self.path.name

    @property
    def state(self) -> RunState:
        """`open`, or sealed as `passed` or `refused`."""
        return self._manifest.state

    @property
    def created_at(self) -> str:
        """When the run was opened, ISO 8601 UTC."""
        return self._manifest.created_at

    @property
    def files(self) -> dict[str, FileEntry]:
        """What was written, by file name."""
        return dict(self._manifest.files)

    @property
    def size_bytes(self) -> int:
        """What its files take on the disk; a file with two names counts once."""
        return sum({entry.sha256: entry.bytes for entry in self._manifest.files.values()}.values())

    def has(self, name: str) -> bool:
        """Tell whether a stage wrote this file."""
        return name in self._manifest.files

    @contextlib.contextmanager
    def open_new(self, name: str) -> Iterator[BinaryIO]:
        """Write one file of the run: once, atomically, its hash noted in the manifest.

        Parameters
        ----------
        name : str
            The file, with `/` for a folder inside the run.

        Raises
        ------
        ArtifactError
            If the run is sealed, or a stage wrote the file already.
        """
        self._require_new(name)
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_atomic(path, naming=lambda: self._changing(name)) as file:
            yield file

    def _require_new(self, name: str) -> None:
        if self.state != "open":
            raise ArtifactError(
                f"run {self.run_id}: sealed ({self.state}); {name} cannot be written any more"
            )
        if self.has(name):
            raise ArtifactError(
                f"run {self.run_id}: {name} is written already; a new run needs `tabloop train`"
            )

    @contextlib.contextmanager
    def _changing(self, name: str) -> Iterator[None]:
        """Give a file its name and note it, on the manifest as it is now: other stages write too."""
        with locked(self._lock):
            self._manifest = read_manifest(self.path)
            self._require_new(name)
            yield
            self._note(name)

    @property
    def _lock(self) -> Path:
        # beside the folder: inside it, it would be a file that nobody wrote as part of the run
        return self.path.with_name(f".{self.run_id}.lock")

    def write(self, name: str, content: bytes) -> None:
        """Write one small file of the run; see `open_new`."""
        with self.open_new(name) as file:
            file.write(content)

    def write_document(self, name: str, document: Any) -> None:
        """Write one JSON file of the run from its type; see `open_new`."""
        self.write(name, document_bytes(document))

    def link(self, name: str, existing: str) -> None:
        """Give a file of the run a second name, without a second copy of it."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._changing(name):
            path.unlink(missing_ok=True)  # left by a stage that died before it was noted
            path.hardlink_to(self.path / existing)

    def adopt(self, name: str, other: RunFolder) -> None:
        """Take a file over from another run as it is, its hash checked, without a second copy of it."""
        source = other.checked_path(name).absolute()
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._changing(name):
            path.unlink(missing_ok=True)  # left by a stage that died before it was noted
            path.hardlink_to(source)

    def discard_if_empty(self) -> None:
        """Remove the folder of a run into which no stage wrote anything."""
        if self.state == "open" and not self.size_bytes:
            shutil.rmtree(self.path)
            self._lock.unlink(missing_ok=True)

    def _note(self, name: str) -> None:
        path = self.path / name
        path.chmod(0o444)
        entry = FileEntry(sha256=sha256_of_file(path), bytes=path.stat().st_size)
        self._manifest = msgspec.structs.replace(self._manifest, files=self._manifest.files | {name: entry})
        write_atomic(self.path / MANIFEST, document_bytes(self._manifest))

    def seal(self, verdict: Literal["passed", "refused"], gates: Gates) -> None:
        """Write `gates.json` and close the run for good.

        Parameters
        ----------
        verdict : {"passed", "refused"}
            The verdict of all gates together.
        gates : Gates
            Every gate's verdict with its evidence.

        Raises
        ------
        ArtifactError
            If the run is sealed already.
        """
        judged = self._manifest
        with locked(self._lock):
            self._manifest = read_manifest(self.path)
            if self.state != "open":
                raise ArtifactError(f"run {self.run_id}: sealed already ({self.state})")
            if self._manifest.files != judged.files:
                raise ArtifactError(
                    f"run {self.run_id}: a stage wrote into it while it was judged; release it again"
                )
            remove_abandoned(self.path, deep=True)  # of stages that were killed
            # gates.json may be there from a release that died here: it counts once the manifest names it
            write_atomic(self.path / GATES, document_bytes(gates))
            self._manifest = msgspec.structs.replace(self._manifest, state=verdict, sealed_at=utc_now())
            self._note(GATES)
            (self.path / MANIFEST).chmod(0o444)

    def read(self, name: str) -> bytes:
        """Read a file of the run, after checking that it is the one that was written.

        Raises
        ------
        ArtifactMissingError
            If no stage wrote it, or it is gone.
        HashMismatchError
            If its content is not the recorded one.
        """
        if not self.has(name):
            raise ArtifactMissingError(f"run {self.run_id}: has no {name}")
        try:
            content = (self.path / name).read_bytes()
        except FileNotFoundError as error:
            raise ArtifactMissingError(f"{self.path / name}: recorded but gone") from error
        self._require_hash(name)
        return content

    def read_as(self, kind: type[Document], name: str) -> Document:
        """Read a JSON file of the run as the type that it was written from; see `read`.

        Raises
        ------
        ArtifactError
            If a field is missing or of another type.
        """
        return parse_document(self.read(name), kind, f"run {self.run_id}: {name}")

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the run to show it as it is; see `read`."""
        return json.loads(self.read(name))

    @property
    def is_trained(self) -> bool:
        """Whether its training finished."""
        return self.has(MODEL_CARD)

    @property
    def is_challenger(self) -> bool:
        """Whether a retraining made it, so that further gates have to judge it."""
        return self.has(RETRAINING)

    @property
    def config(self) -> Config:
        """The settings that it was made with; raises `ArtifactError` where they are of another version."""
        from tabloop.config.config import Config  # a process that serves a run does not need them

        try:
            return Config.from_json(self.read(CONFIG))
        except ValidationError as error:
            raise ArtifactError(f"run {self.run_id}: its config is not of this version: {error}") from error

    @property
    def contract(self) -> Contract:
        """What a valid row of it is."""
        return Contract.from_dict(json.loads(self.read(CONTRACT)))

    @property
    def threshold(self) -> float:
        """The decision threshold."""
        return float(self.read(THRESHOLD))

    @property
    def metrics(self) -> Metrics:
        """What it is worth."""
        return self.read_as(Metrics, METRICS)

    @property
    def lineage(self) -> Lineage:
        """What it was made of."""
        return self.read_as(Lineage, LINEAGE)

    @property
    def drift_baseline(self) -> DriftBaseline:
        """What its training rows looked like."""
        return self.read_as(DriftBaseline, DRIFT_BASELINE)

    @property
    def model_card(self) -> str:
        """What a person should know of it, in Markdown."""
        return self.read(MODEL_CARD).decode()

    @property
    def retraining(self) -> RetrainingRecord | None:
        """What it was made of and is judged on as a challenger; None for a run that is none."""
        return self.read_as(RetrainingRecord, RETRAINING) if self.is_challenger else None

    @property
    def search(self) -> SearchReport | None:
        """What its search tried and found; None where nothing was searched."""
        return self.read_as(SearchReport, SEARCH) if self.has(SEARCH) else None

    @property
    def export_report(self) -> ExportReport:
        """Which candidates have a graph."""
        return self.read_as(ExportReport, EXPORT_REPORT)

    @property
    def self_test(self) -> SelfTest:
        """Rows that a graph has to score as the trained model did."""
        return self.read_as(SelfTest, SELF_TEST)

    @property
    def quantize_report(self) -> QuantizeReport | None:
        """What 8 bits brought; None where nobody tried."""
        return self.read_as(QuantizeReport, QUANTIZE_REPORT) if self.has(QUANTIZE_REPORT) else None

    @property
    def parity_report(self) -> RunParity:
        """How far the graph that it serves is from the trained model."""
        return self.read_as(RunParity, PARITY_REPORT)

    @property
    def served_model(self) -> str:
        """The file of the graph that it serves: the 8-bit one only where it was measured to be worth it."""
        report = self.quantize_report
        return INT8_MODEL if report is not None and report.served == "onnx_int8" else FP32_MODEL

    @property
    def gates(self) -> Gates:
        """The verdict on it; it is sealed."""
        return self.read_as(Gates, GATES)

    def checked_path(self, name: str) -> Path:
        """Give the path of a file whose hash is right, for readers that open it themselves."""
        if not self.has(name):
            raise ArtifactMissingError(f"run {self.run_id}: has no {name}")
        self._require_hash(name)
        return self.path / name

    def _require_hash(self, name: str) -> None:
        problem = self._problem_of(name)
        if problem is not None:
            raise HashMismatchError(f"{problem}; restore it, or train a new run with `tabloop run`")

    def _problem_of(self, name: str) -> str | None:
        path = self.path / name
        recorded = self._manifest.files[name].sha256
        try:
            found = sha256_of_file(path)
        except ArtifactMissingError:
            return f"{path}: recorded but gone"
        return None if found == recorded else f"{path}: got sha256 {found}, recorded {recorded}"

    def check_hashes(self) -> list[str]:
        """Compare every file of the run with its recorded hash.

        Returns
        -------
        problems : list of str
            One line for each file that is gone, altered or was never recorded; empty when all is well.
        """
        problems = [p for name in sorted(self._manifest.files) if (p := self._problem_of(name)) is not None]
        known = {MANIFEST, *self._manifest.files}
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            if path.is_file() and name not in known and not path.name.endswith(".tmp"):
                problems.append(f"{path}: nobody wrote this file as part of the run")
        return problems
