"""The exported graph in an ONNX Runtime session: columns in, probabilities out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tabloop.cores import cpu_count
from tabloop.errors import ArtifactError, ArtifactMissingError, DataError

#: Rows given to the session at once: k-NN and SVM hold the distances of each row to thousands of points.
CHUNK_ROWS = 1024

#: Calls side by side where nothing is timed and nobody else is served; each holds a chunk's distances.
UNTIMED_CALLS = min(2, cpu_count())

_DTYPES: Mapping[str, tuple[Any, str]] = {  # by input type: what the session takes, and NumPy kinds that fit
    "int64": (np.dtype(np.int64), "iu"),
    "double": (np.dtype(np.float64), "fiub"),
    "bool": (np.dtype(np.bool_), "b"),
    "string": (np.dtype(np.object_), "OUT"),
}
_TEXT = {str}


class Predictor:
    """Scores columns with an exported graph; several threads may share it.

    Parameters
    ----------
    model : bytes or pathlib.Path
        What `tabloop.optimization.export.pipeline.save_model` wrote, or the file.
    threads : int, default=1
        Threads of one call. One keeps the order of additions, and so every bit, fixed.
    calls : int, default=1
        Chunks of `CHUNK_ROWS` rows that are scored side by side, where there are more rows than that; it
        changes no bit.

    Raises
    ------
    ArtifactMissingError
        If there is no such file.
    ArtifactError
        If ONNX Runtime cannot load it.
    """

    def __init__(self, model: bytes | Path, *, threads: int = 1, calls: int = 1) -> None:
        where = "the model" if isinstance(model, bytes) else str(model)
        if isinstance(model, Path) and not model.is_file():
            raise ArtifactMissingError(f"{model}: no such file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # its exceptions say the same
        # an idle thread that spins takes the core from whoever has work
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions share no public base
            raise ArtifactError(f"{where}: ONNX Runtime cannot load it: {error}") from error
        self.input_types: Mapping[str, str] = MappingProxyType(
            {each.name: each.type.removeprefix("tensor(").rstrip(")") for each in self._session.get_inputs()}
        )
        self.metadata: Mapping[str, str] = MappingProxyType(
            dict(self._session.get_modelmeta().custom_metadata_map)
        )
        # kept for a change of provider, of which there is one; it is as large as the file
        self._session._model_bytes = None
        self._outputs = [self._session.get_outputs()[0].name]
        # the public `run` looks at all names again, which takes a tenth of the time of a row alone
        self._run_session: Callable[..., list[Any]] = getattr(self._session, "_sess", self._session).run
        self._calls = calls

    def with_calls(self, calls: int) -> Predictor:
        """Give the same session with another number of calls side by side."""
        other = copy.copy(self)
        other._calls = calls
        return other

    @property
    def threshold(self) -> float | None:
        """The decision threshold that the file carries, None if it carries none."""
        text = self.metadata.get("decision_threshold")
        return None if text is None else float(text)

    def predict(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Score rows.

        Parameters
        ----------
        columns : mapping of str to ndarray of shape (n_rows,) or (n_rows, 1)
            One array for each of `input_types`; further ones are ignored. Texts are arrays of str objects,
            the empty text for null.

        Returns
        -------
        probability : ndarray of float64, shape (n_rows,)
            The probability of the positive class.

        Raises
        ------
        DataError
            If a column is missing, of another type or of another length; all problems in one message.
        """
        return self.predict_all(columns)[:, 0]

    def predict_all(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Give all that the graph puts out of each row, shape (n_rows, width); see `predict`."""
        return self._run_in_chunks(self._feed(columns))

    def run(self, feed: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Score what `RecordCodec.feed_of` gives of at least one record, unchecked.

        Returns
        -------
        probability : ndarray of float64, shape (n_rows,)
        """
        return self._run_in_chunks(feed)[:, 0]

    def _run_in_chunks(self, feed: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        n_rows = len(next(iter(feed.values())))
        if n_rows <= CHUNK_ROWS:
            return self._run(feed) if n_rows else np.empty((0, 1))
        chunks = [
            {name: array[start : start + CHUNK_ROWS] for name, array in feed.items()}
            for start in range(0, n_rows, CHUNK_ROWS)
        ]
        if self._calls == 1:
            return np.concatenate([self._run(chunk) for chunk in chunks])
        with ThreadPoolExecutor(self._calls) as pool:
            return np.concatenate(list(pool.map(self._run, chunks)))

    def _run(self, feed: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self._run_session(self._outputs, feed, None)[0]
        return found

    def _feed(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        feed: dict[str, NDArray[Any]] = {}
        problems = []
        for name, kind in self.input_types.items():
            if name not in columns:
                problems.append(f"column {name}: missing")
                continue
            array = np.asarray(columns[name])
            dtype, kinds = _DTYPES[kind]
            # ONNX Runtime would take any object for its text, None for "None"
            fits = array.dtype == dtype and (
                kind != "string" or set(map(type, array.ravel().tolist())) <= _TEXT
            )
            if fits and array.ndim == 1:
                feed[name] = array.reshape(-1, 1)
                continue
            if not fits and (array.dtype.kind not in kinds or array.dtype.kind == "O"):
                problems.append(f"column {name}: got {array.dtype}, expected {kind} values")
            elif array.ndim not in (1, 2) or array.size != len(array):
                problems.append(f"column {name}: got shape {array.shape}, expected (n_rows,)")
            else:
                feed[name] = array.astype(dtype, copy=False).reshape(-1, 1)
        lengths = {len(array) for array in feed.values()}
        if len(lengths) > 1:
            found = ", ".join(f"{name} {len(array)}" for name, array in feed.items())
            problems.append(f"the columns have different numbers of rows: {found}")
        if problems:
            raise DataError("the columns do not fit the model:\n  " + "\n  ".join(problems))
        return feed
