"""What a run keeps to explain single answers: parts of the model, and rows to compare with."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np

from tabloop.errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORMAT_VERSION = 1

#: What the contributions of a row add up to: a probability, its log-odds, or what the model sums before a map
#: makes a probability of it.
Unit = Literal["probability", "log_odds", "score"]


@dataclass(frozen=True)
class FlatTrees:
    """The nodes of all trees in one row: ``x[feature] <= threshold`` goes left.

    Attributes
    ----------
    roots : ndarray of int32, shape (n_trees,)
        Where each tree begins.
    feature : ndarray of int32, shape (n_nodes,)
        The feature that is tested; 0 in a leaf.
    left, right : ndarray of int32, shape (n_nodes,)
        The nodes to go to; -1 in a leaf.
    threshold, value : ndarray of float64, shape (n_nodes,)
        The split of an inner node, the result of a leaf in the explainer's unit.
    missing_left : ndarray of bool, shape (n_nodes,)
        Whether NaN goes left at the node.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    threshold: NDArray[np.float64]
    value: NDArray[np.float64]
    missing_left: NDArray[np.bool_]


@dataclass(frozen=True)
class Explainer:
    """What of a model explains its answers.

    Attributes
    ----------
    unit : str
        What contributions add up to.
    background : mapping of str to ndarray of shape (n_background,)
        Training rows, inputs of the graph, that an answer is compared with.
    features_graph : bytes
        The ONNX graph from the raw columns to what the model sees, double of shape (N, n_features).
    sources : tuple of tuple of str
        The raw columns that each feature is computed from.
    start : float
        What the sum begins with.
    trees : FlatTrees or None
        A model that is a sum of trees.
    weights : ndarray of float64, shape (n_features,), or None
        One that is a weighted sum. Neither for any other model, of which only the answers are known.
    """

    unit: Unit
    background: Mapping[str, NDArray[Any]]
    features_graph: bytes = b""
    sources: tuple[tuple[str, ...], ...] = ()
    start: float = 0.0
    trees: FlatTrees | None = None
    weights: NDArray[np.float64] | None = None

    def save(self, file: IO[bytes]) -> None:
        """Write it; nothing in it is pickled."""
        names = list(self.background)
        arrays: dict[str, NDArray[Any]] = {
            "format_version": np.array(_FORMAT_VERSION),
            "unit": np.array(self.unit),
            "columns": np.array(names, dtype=np.str_),
            "features_graph": np.frombuffer(self.features_graph, dtype=np.uint8),
            "sources": np.array(
                [[name in source for name in names] for source in self.sources], dtype=np.bool_
            ),
            "start": np.array(self.start),
        }
        for place, values in enumerate(self.background.values()):
            is_text = values.dtype == np.object_
            arrays[f"background_{place}"] = values.astype(np.str_) if is_text else values
        if self.trees is not None:
            arrays |= {f"trees_{each.name}": getattr(self.trees, each.name) for each in fields(FlatTrees)}
        if self.weights is not None:
            arrays["weights"] = self.weights
        np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, content: bytes) -> Explainer:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If it is no such file.

        Examples
        --------
        >>> file = io.BytesIO()
        >>> Explainer("probability", {"country": np.array(["DE", ""], dtype=object)}).save(file)
        >>> Explainer.load(file.getvalue()).background["country"].tolist()
        ['DE', '']
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                if held["format_version"].item() != _FORMAT_VERSION:
                    raise ArtifactError(
                        f"explainer.npz: got format_version {held['format_version'].item()}, expected "
                        f"{_FORMAT_VERSION}; train a new run with `tabloop run`"
                    )
                names = held["columns"].tolist()
                columns = [held[f"background_{place}"] for place in range(len(names))]
                parts = {each.name: held.get(f"trees_{each.name}") for each in fields(FlatTrees)}
                return cls(
                    unit=held["unit"].item(),
                    background={
                        name: values.astype(object) if values.dtype.kind == "U" else values
                        for name, values in zip(names, columns, strict=True)
                    },
                    features_graph=held["features_graph"].tobytes(),
                    sources=tuple(
                        tuple(name for name, is_one in zip(names, each, strict=True) if is_one)
                        for each in held["sources"]
                    ),
                    start=held["start"].item(),
                    trees=None if parts["roots"] is None else FlatTrees(**parts),
                    weights=held.get("weights"),
                )
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"explainer.npz: cannot be read ({error})") from error
