"""A small builder of ONNX graphs: nodes in, names out, equal parts made once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.sparse import issparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Version of the standard operators.
OPSET = 21
#: Version of `ai.onnx.ml`: 5 brought `TreeEnsemble`; whatever else is used has not changed since 2.
ML_OPSET = 5
ML_DOMAIN = "ai.onnx.ml"
IR_VERSION = 10
#: Numbers that the widest vector instructions take at once: 512 bits of doubles.
LANES = 8

INPUT_TYPES: Mapping[str, int] = {
    "int64": TensorProto.INT64,
    "double": TensorProto.DOUBLE,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


class OnnxGraph:
    """Collects the nodes of a graph; an operation on the same inputs is computed once.

    Parameters
    ----------
    inputs : mapping of str to {"int64", "double", "bool", "string"}
        The inputs by name, each of shape (N, 1).

    Examples
    --------
    >>> graph = OnnxGraph({"days": "double"})
    >>> weeks = graph.add("Div", "days", graph.constant(np.array([[7.0]])))
    >>> weeks == graph.add("Div", "days", graph.constant(np.array([[7.0]])))
    True
    >>> [node.op_type for node in graph.model(weeks, "weeks").graph.node]
    ['Div', 'Identity']
    """

    def __init__(self, inputs: Mapping[str, str]) -> None:
        self.inputs = dict(inputs)
        self.ml_opset = ML_OPSET
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._constants: dict[str, NDArray[Any]] = {}
        self._made: dict[Any, str] = {}
        self._names = set(inputs)

    def fresh_name(self, stem: str) -> str:
        """Give a name that nothing in the graph has yet; a column can be called anything."""
        number = len(self._names)
        while f"{stem}_{number}" in self._names:
            number += 1
        self._names.add(f"{stem}_{number}")
        return f"{stem}_{number}"

    def constant(self, array: NDArray[Any]) -> str:
        """Give the name of an initializer that holds the array."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._made:
            name = self._made[key] = self.fresh_name("constant")
            self._constants[name] = array
            self._initializers.append(numpy_helper.from_array(array, name))
        return self._made[key]

    def value_of(self, name: str) -> NDArray[Any] | None:
        """Give the array of a constant, None for anything else."""
        return self._constants.get(name)

    def reads_input(self, name: str) -> bool:
        """Say whether a tensor depends on an input of the graph, and not on constants alone."""
        made = {output: node for node in self._nodes for output in node.output}
        waiting, seen = [name], set()
        while waiting:
            each = waiting.pop()
            if each in self.inputs:
                return True
            if each in made and each not in seen:
                seen.add(each)
                waiting.extend(made[each].input)
        return False

    def add(self, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, unless the graph has it already, and give the output's name."""
        key = (domain, op_type, inputs, repr(sorted(attributes.items())))
        if key not in self._made:
            self._made[key] = self.add_large(op_type, *inputs, domain=domain, **attributes)
        return self._made[key]

    def add_smooth(self, op_type: str, column: str) -> str:
        """Add `Exp`, `Sigmoid` or the like on a column so that a row's result does not depend on its batch.

        ONNX Runtime computes them several numbers at a time and what is left over one by one, which rounds
        differently: the last row of an odd batch would differ in its last digit. Each number is therefore
        computed `LANES` times over, of which the first is kept.

        Parameters
        ----------
        op_type : str
            An operation on each number alone.
        column : str
            A tensor of shape (N, 1).
        """
        wide = self.add(op_type, self.add("Concat", *[column] * LANES, axis=1))
        return self.add("Gather", wide, self.constant(np.array([0], dtype=np.int64)), axis=1)

    def add_large(self, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node in any case: its attributes are too large to compare."""
        name = self.fresh_name(op_type)
        self._nodes.append(helper.make_node(op_type, inputs, [name], domain=domain, **attributes))
        return name

    def add_top_k(self, values: str, k: int) -> str:
        """Add the positions of the k smallest values of each row, smallest first."""
        smallest, positions = self.fresh_name("smallest"), self.fresh_name("positions")
        inputs = [values, self.constant(np.array([k], dtype=np.int64))]
        self._nodes.append(helper.make_node("TopK", inputs, [smallest, positions], axis=1, largest=0))
        return positions

    def add_graph(self, other: onnx.GraphProto, given: Mapping[str, str]) -> Mapping[str, str]:
        """Copy another graph in.

        Parameters
        ----------
        other : onnx.GraphProto
            Without subgraphs.
        given : mapping of str to str
            What stands here for each of its inputs.

        Returns
        -------
        outputs : mapping of str to str
            The names here of everything it computes.
        """
        renamed = {"": "", **given}
        for tensor in other.initializer:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = renamed[tensor.name] = self.fresh_name("grafted")
            self._initializers.append(copy)
        for node in other.node:
            copied = onnx.NodeProto()
            copied.CopyFrom(node)
            copied.ClearField("name")
            del copied.input[:], copied.output[:]
            copied.input.extend(renamed[name] for name in node.input)
            for name in node.output:
                renamed[name] = self.fresh_name(node.op_type) if name else ""
            copied.output.extend(renamed[name] for name in node.output)
            self._nodes.append(copied)
        return renamed

    def model(self, output: str, output_name: str, *, width: int = 1) -> onnx.ModelProto:
        """Close the graph with one double output of shape (N, width)."""
        while output_name in self._names:
            output_name += "_"
        graph = helper.make_graph(
            [*self._nodes, helper.make_node("Identity", [output], [output_name])],
            "tabloop",
            [
                helper.make_tensor_value_info(name, INPUT_TYPES[kind], ["N", 1])
                for name, kind in self.inputs.items()
            ],
            [helper.make_tensor_value_info(output_name, TensorProto.DOUBLE, ["N", width])],
            initializer=self._initializers,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, self.ml_opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def dense(values: Any) -> NDArray[np.float64]:
    """Give an array or a sparse matrix as contiguous float64; a model fitted on sparse rows keeps them so.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> dense(csr_matrix([[0, 2]])).tolist()
    [[0.0, 2.0]]
    """
    return np.ascontiguousarray(values.toarray() if issparse(values) else values, dtype=np.float64)
