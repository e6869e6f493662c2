"""What a classifier sees, as tensors of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx import TensorProto

from tabloop.errors import ExportError
from tabloop.optimization.export.graph import OnnxGraph

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CodeColumn:
    """A category as a code.

    Attributes
    ----------
    name : str
        The column that it is of.
    tensor : str
        An int64 tensor of shape (N, 1).
    size : int
        The codes are 0 to size - 1.
    """

    name: str
    tensor: str
    size: int


@dataclass(frozen=True)
class FeatureTensors:
    """The features of a classifier: a matrix of numbers, and behind it the codes of categories.

    Attributes
    ----------
    numbers : str or None
        A double tensor of shape (N, n_numbers), NaN where a value is missing; None if there are none.
    sources : tuple of frozenset of str
        The raw columns that each number is computed from.
    codes : tuple of CodeColumn
        The features after the numbers, where a model sees categories as codes.
    """

    numbers: str | None
    sources: tuple[frozenset[str], ...]
    codes: tuple[CodeColumn, ...] = ()

    @property
    def n_numbers(self) -> int:
        """The width of the matrix."""
        return len(self.sources)

    @property
    def code_sources(self) -> tuple[frozenset[str], ...]:
        """The raw column of each code."""
        return tuple(frozenset({code.name}) for code in self.codes)

    def matrix(self, graph: OnnxGraph) -> str:
        """Name all features as one double tensor of shape (N, n_features)."""
        blocks = [] if self.numbers is None else [self.numbers]
        blocks += [graph.add("Cast", code.tensor, to=TensorProto.DOUBLE) for code in self.codes]
        if not blocks:
            raise ExportError("pipeline step preprocess: gives no features")
        return blocks[0] if len(blocks) == 1 else graph.add("Concat", *blocks, axis=1)

    def code_bits(self, graph: OnnxGraph, place: int, bits: NDArray[np.bool_]) -> str:
        """Look up bits of a category, all sets of categories at once.

        Parameters
        ----------
        graph : OnnxGraph
            The graph that the node is added to.
        place : int
            The feature.
        bits : ndarray of bool, shape (size, n_sets)
            What each code has in each set.

        Returns
        -------
        name : str
            A boolean tensor of shape (N, n_sets).
        """
        return graph.add("GatherND", graph.constant(bits), self.codes[place - self.n_numbers].tensor)
