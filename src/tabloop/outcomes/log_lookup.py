"""Look the predictions of a whole file of outcomes up in the prediction log, which is read once for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tabloop.artifacts.prediction_log.lines import ID_SLICE
from tabloop.artifacts.prediction_log.reader import PredictionLogReader
from tabloop.artifacts.prediction_log.rows import LoggedPrediction
from tabloop.config.data import DataConfig
from tabloop.outcomes.file import read_outcomes
from tabloop.outcomes.outcome import canonical_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: So many ids are looked up by themselves: the files that hold them are found by their names.
_FEW_IDS = 50_000
_ID, _TIME = np.dtype("S36"), np.dtype("S27")


class LogLookup:
    """Finds the predictions that a file of outcomes names; implements `FindPredictions`.

    The file is read first, for its ids, then the log, once. Looking batch after batch up in the log would
    read its files again for each of them.

    Parameters
    ----------
    log : PredictionLogReader
        Reads no features.
    path : pathlib.Path
        The file of outcomes.
    config : DataConfig
        The config's `data` section.

    Notes
    -----
    It holds about 80 bytes an outcome. Of a prediction that stands twice in the log the last line counts.
    """

    def __init__(self, log: PredictionLogReader, path: Path, config: DataConfig) -> None:
        self._log, self._path, self._config = log, path, config
        self._ids: NDArray[np.bytes_] | None = None

    def __call__(self, prediction_ids: Sequence[str]) -> dict[str, LoggedPrediction]:
        """Say what became of some predictions of the file; those that the log does not have are not there."""
        if self._ids is None:
            self._ids = self._ids_of_file()
            if len(self._ids) > _FEW_IDS:
                self._read_log(self._ids)
        if len(self._ids) <= _FEW_IDS:
            return self._log.find(prediction_ids)
        place, held = _places(self._ids, np.array(prediction_ids, dtype=_ID))
        held &= self._run[place] >= 0
        return {
            name: LoggedPrediction(self._runs[run], time.decode(), probability, label)
            for name, is_held, run, time, probability, label in zip(
                prediction_ids,
                held.tolist(),
                self._run[place].tolist(),
                self._time[place].tolist(),
                self._probability[place].tolist(),
                self._label[place].tolist(),
                strict=True,
            )
            if is_held
        }

    def _ids_of_file(self) -> NDArray[np.bytes_]:
        pieces = [
            np.array([name for row in raw.rows if (name := canonical_id(row[1]))], dtype=_ID)
            for raw in read_outcomes(self._path, self._config)
        ]
        return np.unique(np.concatenate([np.empty(0, _ID), *pieces]))

    def _read_log(self, ids: NDArray[np.bytes_]) -> None:
        self._runs: list[str] = []
        self._run = np.full(len(ids), -1, dtype=np.int32)
        self._time = np.empty(len(ids), dtype=_TIME)
        self._probability = np.empty(len(ids))
        self._label = np.empty(len(ids), dtype=np.int8)
        numbers: dict[str, int] = {}

        def keep(lines: list[bytes]) -> list[bytes]:
            _, held = _places(ids, np.array([line[ID_SLICE] for line in lines], dtype=_ID))
            return [line for line, is_held in zip(lines, held.tolist(), strict=True) if is_held]

        def may_hold(first: str, last: str) -> bool:
            begin, end = np.searchsorted(ids, np.array([first, last], dtype=_ID))
            return bool(begin < len(ids) and (end > begin or ids[begin] == last.encode()))

        for batch in self._log.scan(keep, may_hold):
            place, _ = _places(ids, np.array(batch.prediction_id, dtype=_ID))
            self._run[place] = [numbers.setdefault(name, len(numbers)) for name in batch.run_id]
            self._time[place] = np.array(batch.time, dtype=_TIME)
            self._probability[place] = batch.probability
            self._label[place] = batch.label
        self._runs = list(numbers)


def _places(
    ids: NDArray[np.bytes_], asked: NDArray[np.bytes_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find where ids stand among sorted ones, and which of them do."""
    place = np.minimum(np.searchsorted(ids, asked), len(ids) - 1)
    return place, ids[place] == asked
