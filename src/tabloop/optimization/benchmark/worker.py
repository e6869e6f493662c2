"""One variant in a process of its own: import, load, score, time; commands and answers are JSON lines.

Run as ``python -m tabloop.optimization.benchmark.worker KIND MODEL ROWS_FOLDER POWERCAP_FOLDER``. It
imports only what the variant needs to answer, so that the memory it reports is the variant's own: for
ONNX no scikit-learn and no Polars.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Files in the rows folder that the benchmark writes for its workers.
FRAME_FILE = "rows.arrow"
ARRAYS_FILE = "rows.npz"

#: Imported before a pickle is loaded, so that its load time is not that of the library.
_SKLEARN_MODULES = ("pipeline", "compose", "ensemble", "isotonic", "linear_model", "neighbors", "svm", "tree")

#: A block begins with untimed calls for this long: another process had the caches before.
_WARM_UP_S = 0.002


@dataclass(frozen=True)
class Memory:
    """Resident bytes of a process, now and at most so far; None where there is no `/proc`."""

    now: int | None = None
    peak: int | None = None


@dataclass(frozen=True)
class Started:
    """The libraries are there: processor seconds until then, and their memory."""

    start_cpu_s: float
    rss: Memory


@dataclass(frozen=True)
class Loaded:
    """The model has answered: seconds from its file to then, its memory, and every imported package."""

    load_s: float
    rss: Memory
    imported: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Scored:
    """All rows are answered: the memory that took."""

    rss: Memory


@dataclass(frozen=True)
class Timed:
    """Timed calls: nanoseconds of each, seconds of all by both clocks, and their energy where measured."""

    ns: list[int]
    cpu_s: float
    wall_s: float
    energy_j: float | None = None


class Model(Protocol):
    """A variant: its libraries are imported when it is made, its file is read by `load`."""

    def load(self, path: Path) -> None:
        """Read the model's file."""

    def rows(self, indices: NDArray[np.int64]) -> Any:
        """Take real rows, as the model wants them."""

    def part(self, rows: Any, first: int, last: int) -> Any:
        """Take some of those rows without copying them."""

    def predict(self, rows: Any) -> NDArray[np.float64]:
        """Give the probabilities of the rows."""

    n_rows: int


class SklearnModel:
    """A pickled pipeline that is handed typed Polars frames."""

    def __init__(self, folder: Path) -> None:
        self._joblib = importlib.import_module("joblib")
        for name in _SKLEARN_MODULES:
            importlib.import_module(f"sklearn.{name}")
        importlib.import_module("tabloop.contract.feature_table")
        polars = importlib.import_module("polars")
        self._frame: Any = polars.read_ipc(folder / FRAME_FILE)
        self.n_rows = int(self._frame.height)
        self._pipeline: Any = None

    def load(self, path: Path) -> None:
        """Unpickle the pipeline."""
        self._pipeline = self._joblib.load(path)

    def rows(self, indices: NDArray[np.int64]) -> Any:
        """Gather rows into a frame."""
        return self._frame[indices]

    def part(self, rows: Any, first: int, last: int) -> Any:
        """Slice a frame."""
        return rows[first:last]

    def predict(self, rows: Any) -> NDArray[np.float64]:
        """Give the probabilities of 1."""
        return np.asarray(self._pipeline.predict_proba(rows)[:, 1], dtype=np.float64)


class OnnxModel:
    """An ONNX graph that is handed arrays of raw columns."""

    def __init__(self, folder: Path) -> None:
        self._predictor_class: Any = importlib.import_module("tabloop.inference.predictor").Predictor
        with np.load(folder / ARRAYS_FILE) as stored:
            # texts are stored with a fixed width, and served as objects
            self._columns: dict[str, NDArray[Any]] = {
                name: stored[name].astype(object) if stored[name].dtype.kind == "U" else stored[name]
                for name in stored.files
            }
        self.n_rows = len(next(iter(self._columns.values())))
        self._predictor: Any = None

    def load(self, path: Path) -> None:
        """Build the session."""
        self._predictor = self._predictor_class(path, threads=1)

    def rows(self, indices: NDArray[np.int64]) -> Any:
        """Gather rows of every column."""
        return {name: column[indices] for name, column in self._columns.items()}

    def part(self, rows: Any, first: int, last: int) -> Any:
        """Slice every column."""
        return {name: column[first:last] for name, column in rows.items()}

    def predict(self, rows: Any) -> NDArray[np.float64]:
        """Give the probabilities of 1."""
        return np.asarray(self._predictor.predict(rows), dtype=np.float64)


class EnergyMeter:
    """The energy counters of the processor packages (Intel and AMD RAPL), where they can be read.

    Parameters
    ----------
    folder : pathlib.Path
        `/sys/class/powercap`. Reading it is root's privilege on most machines.
    """

    def __init__(self, folder: Path) -> None:
        self._zones: list[tuple[Path, int]] = []
        for zone in sorted(folder.glob("intel-rapl:*")):
            try:
                # a package holds its cores and memory (intel-rapl:0:1), and psys holds the packages
                if not (zone / "name").read_text().startswith("package"):
                    continue
                int((zone / "energy_uj").read_text())
                self._zones.append((zone / "energy_uj", int((zone / "max_energy_range_uj").read_text())))
            except (OSError, ValueError):
                continue

    @property
    def available(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._zones)

    def read(self) -> list[int]:
        """Read every package's counter, in microjoules."""
        return [int(path.read_text()) for path, _ in self._zones]

    def joules_between(self, before: list[int], after: list[int]) -> float:
        """Give the energy of all packages between two readings; a counter may have wrapped once."""
        spent = 0
        for first, last, (_, most) in zip(before, after, self._zones, strict=True):
            spent += last - first if last >= first else last + most - first
        return spent / 1e6


def resident_memory() -> Memory:
    """Read this process's resident memory.

    `ru_maxrss` would not do: the kernel hands it down from the process that started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return Memory()
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Vm")}
    return Memory(now=found["VmRSS"], peak=found["VmHWM"])


def draw_rows(n_rows: int, n_drawn: int, seed: int | list[int]) -> NDArray[np.int64]:
    """Draw rows so that each occurs before any occurs again.

    Examples
    --------
    >>> sorted(draw_rows(3, 6, seed=0)[:3].tolist())
    [0, 1, 2]
    """
    generator = np.random.default_rng(seed)
    turns = [generator.permutation(n_rows) for _ in range(math.ceil(n_drawn / n_rows))]
    return np.concatenate(turns)[:n_drawn]


class Worker:
    """Answers the commands about one variant.

    Parameters
    ----------
    kind : str
        `sklearn`, or any of the ONNX kinds.
    path : pathlib.Path
        The model's file.
    folder : pathlib.Path
        Holds the rows.
    meter : EnergyMeter
        Read around the timed calls.
    """

    def __init__(self, kind: str, path: Path, folder: Path, meter: EnergyMeter) -> None:
        self._path = path
        self._model: Model = SklearnModel(folder) if kind == "sklearn" else OnnxModel(folder)
        self._meter = meter

    def started(self) -> Started:
        """Say that the libraries are there."""
        return Started(time.process_time(), resident_memory())

    def load(self) -> Loaded:
        """Read the model's file and answer one row."""
        rows = self._model.rows(np.zeros(1, dtype=np.int64))
        begun = time.perf_counter()
        self._model.load(self._path)
        loaded = time.perf_counter()
        rss = resident_memory()
        self._model.predict(rows)
        imported = sorted({name.partition(".")[0] for name in sys.modules})
        return Loaded(loaded - begun, rss, imported)

    def score(self, output: str, batch_size: int) -> Scored:
        """Write the probabilities of all rows, in order; say what the most memory was."""
        every = np.arange(self._model.n_rows)
        batches = [every[i : i + batch_size] for i in range(0, len(every), batch_size)]
        np.save(output, np.concatenate([self._model.predict(self._model.rows(each)) for each in batches]))
        return Scored(resident_memory())

    def time(self, batch_size: int, calls: int, warm_up: bool, seed: list[int], limit_s: float) -> Timed:
        """Time calls on rows that vary; stop after `limit_s`, but not before the first call."""
        model = self._model
        rows = model.rows(draw_rows(model.n_rows, batch_size * calls, seed))
        if warm_up:
            until, i = time.perf_counter() + _WARM_UP_S, 0
            while i == 0 or time.perf_counter() < until:
                model.predict(
                    model.part(rows, (calls - 1 - i % calls) * batch_size, (calls - i % calls) * batch_size)
                )
                i += 1
        taken: list[int] = []
        before, cpu_s, wall_s = self._meter.read(), time.process_time(), time.perf_counter()
        end = time.perf_counter_ns() + int(limit_s * 1e9)
        for i in range(calls):
            part = model.part(rows, i * batch_size, (i + 1) * batch_size)
            begun = time.perf_counter_ns()
            model.predict(part)
            now = time.perf_counter_ns()
            taken.append(now - begun)
            if now > end:
                break
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        energy_j = self._meter.joules_between(before, self._meter.read()) if self._meter.available else None
        return Timed(taken, cpu_s, wall_s, energy_j)


def main(arguments: list[str]) -> None:
    """Answer commands until standard input ends."""
    # what a library prints must not get between the answers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    kind, path, folder, powercap = arguments
    worker = Worker(kind, Path(path), Path(folder), EnergyMeter(Path(powercap)))
    print(json.dumps(asdict(worker.started())), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(worker, command.pop("do"))(**command)
        print(json.dumps(asdict(answer)), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
