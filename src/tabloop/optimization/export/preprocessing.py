"""The steps before the classifier as ONNX nodes: columns, formulas, imputers, scaling, categories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto

from tabloop.contract.contract import Contract
from tabloop.errors import ExportError
from tabloop.optimization.export.features import CodeColumn, FeatureTensors
from tabloop.optimization.export.formulas import formula_to_onnx
from tabloop.optimization.export.graph import ML_DOMAIN, OnnxGraph

if TYPE_CHECKING:
    from numpy.typing import NDArray


class GraphColumns:
    """The contract's columns as tensors of a graph; see `frame_columns.input_types`.

    Parameters
    ----------
    graph : OnnxGraph
        The graph, whose inputs are the columns.
    """

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph

    def number(self, name: str) -> str:
        """Name the column as double, NaN where it is null."""
        if self.graph.inputs[name] == "double":
            return name
        return self.graph.add("Cast", name, to=TensorProto.DOUBLE)

    def is_integer(self, name: str) -> bool:
        """Tell whether the column holds whole numbers, and so no -0.0."""
        return self.graph.inputs[name] == "int64"

    def condition(self, name: str) -> str:
        """Name the boolean column as it is, false where it is null."""
        if self.graph.inputs[name] == "bool":
            return name
        return self.graph.add("Equal", name, self.graph.constant(np.array([[1.0]])))

    def is_null(self, name: str) -> str:
        """Name the boolean tensor that tells where the column is null."""
        if self.graph.inputs[name] == "string":
            return self.graph.add("Equal", name, self.graph.constant(np.array([[""]], dtype=object)))
        return self.graph.add("IsNaN", self.number(name))

    def row_shape(self) -> str:
        """Name the tensor that holds the shape (N, 1)."""
        return self.graph.add("Shape", next(iter(self.graph.inputs)))


def preprocessing_to_onnx(graph: OnnxGraph, contract: Contract, preprocessor: Any) -> FeatureTensors:
    """Add everything between the raw columns and the classifier.

    Parameters
    ----------
    graph : OnnxGraph
        The graph, whose inputs are the columns.
    contract : Contract
        The contract whose formulas are computed.
    preprocessor : fitted ColumnTransformer
        The transformer that `tabloop.training.preprocessing.build_preprocessor` makes.

    Returns
    -------
    features : FeatureTensors
        Equal to what the preprocessor gives in every bit but the sign of zero.

    Raises
    ------
    ExportError
        If a step is of a kind that is not known here.
    """
    columns = GraphColumns(graph)
    blocks: list[str] = []
    codes: tuple[CodeColumn, ...] = ()
    sources: list[frozenset[str]] = []
    for name, steps, features in preprocessor.transformers_:
        if isinstance(steps, str) and steps == "drop":
            continue
        parts = [step for _, step in getattr(steps, "steps", [("", steps)])]
        match [type(part).__name__ for part in parts]:
            case ["SimpleImputer", "OneHotEncoder"]:
                for feature, block, width in _one_hot(graph, features, parts[0], parts[1]):
                    blocks.append(block)
                    sources += [frozenset({feature})] * width
                continue
            case ["SimpleImputer", *rest] if set(rest) <= {"OutlierClipper", "StandardScaler"}:
                finite = _finite(graph, columns, contract, features)
                x = graph.add("Where", finite.is_finite, finite.x, _row(graph, parts[0].statistics_))
                blocks.append(_moved(graph, x, parts[1:]))
            case ["UnscaledNumbers"]:
                finite = _finite(graph, columns, contract, features)
                nan = graph.constant(np.array([[np.nan]]))
                blocks.append(graph.add("Where", finite.is_finite, finite.x, nan))
            case ["Float32Numbers"]:
                finite = _finite(graph, columns, contract, features)
                nan = graph.constant(np.array([[np.nan]]))
                x = graph.add("Where", finite.is_finite, finite.x, nan)
                blocks.append(_fitted_to_float32(graph, x, parts[0]))
            case ["MissingIndicator"]:
                is_finite = _finite(graph, columns, contract, features).is_finite
                blocks.append(graph.add("Cast", graph.add("Not", is_finite), to=TensorProto.DOUBLE))
            case ["CategoryCodes", "TargetEncoder", *rest] if rest in ([], ["StandardScaler"]):
                blocks.append(_moved(graph, _target_encoded(graph, features, *parts[:2]), parts[2:]))
            case ["CategoryCodes"] | ["OrderedCategories"]:
                codes = _codes(graph, features, parts[0])
                continue
            case known:
                raise ExportError(f"preprocessing step {name}: {' then '.join(known)} has no ONNX form")
        sources += [_columns_of(contract, feature) for feature in features]
    numbers = None if not blocks else blocks[0] if len(blocks) == 1 else graph.add("Concat", *blocks, axis=1)
    return FeatureTensors(numbers, tuple(sources), codes)


def _columns_of(contract: Contract, feature: str) -> frozenset[str]:
    return frozenset(contract.features[feature].columns if feature in contract.features else {feature})


@dataclass(frozen=True)
class _Finite:
    """Numbers side by side, and where they are neither NaN nor infinite."""

    x: str
    is_finite: str


def _finite(graph: OnnxGraph, columns: GraphColumns, contract: Contract, features: list[str]) -> _Finite:
    tensors = [
        formula_to_onnx(graph, contract.features[name], columns)
        if name in contract.features
        else columns.number(name)
        for name in features
    ]
    x = tensors[0] if len(tensors) == 1 else graph.add("Concat", *tensors, axis=1)
    # false for NaN and for infinity: both are null once a formula has been computed
    return _Finite(x, graph.add("Less", graph.add("Abs", x), graph.constant(np.array([[np.inf]]))))


def _moved(graph: OnnxGraph, x: str, steps: list[Any]) -> str:
    """Add clipping and scaling."""
    for step in steps:
        if type(step).__name__ == "OutlierClipper":
            x = graph.add("Min", graph.add("Max", x, _row(graph, step.lower_)), _row(graph, step.upper_))
        else:
            x = _divided(graph, x, step.mean_, step.scale_)
    return x


def _divided(graph: OnnxGraph, x: str, offset: NDArray[np.float64], scale: NDArray[np.float64]) -> str:
    """Add (x - offset) / scale with its two roundings."""
    # turned round, since ONNX Runtime drops a division by a single number that float32 rounds to 1
    return graph.add("Div", graph.add("Sub", _row(graph, offset), x), _row(graph, -scale))


def _fitted_to_float32(graph: OnnxGraph, x: str, step: Any) -> str:
    """Add what `Float32Numbers` does; not its bound, since trees treat it as the infinity beyond."""
    if (step.offset_ == 0).all() and (step.scale_ == 1).all():
        return x
    return _divided(graph, x, step.offset_, step.scale_)


def _codes(graph: OnnxGraph, features: list[str], coder: Any) -> tuple[CodeColumn, ...]:
    columns = []
    orders = getattr(coder, "codes_", [range(len(kept) + 1) for kept in coder.categories_])
    for name, kept, order in zip(features, coder.categories_, orders, strict=True):
        texts = ["" if category is None else category for category in kept]
        *known, others = (int(code) for code in order)
        index = graph.add(
            "LabelEncoder",
            name,
            domain=ML_DOMAIN,
            keys_strings=texts or [""],  # the operator takes no empty list
            values_int64s=known or [others],
            default_int64=others,
        )
        columns.append(CodeColumn(name, index, len(texts) + 1))
    return tuple(columns)


def _target_encoded(graph: OnnxGraph, features: list[str], coder: Any, encoder: Any) -> str:
    encoded = []
    columns = zip(_codes(graph, features, coder), encoder.categories_, encoder.encodings_, strict=True)
    for code, seen, encodings in columns:
        table = np.full(code.size, float(encoder.target_mean_))
        table[np.asarray(seen, dtype=np.int64)] = encodings
        encoded.append(graph.add("Gather", graph.constant(table), code.tensor))
    return encoded[0] if len(encoded) == 1 else graph.add("Concat", *encoded, axis=1)


def _row(graph: OnnxGraph, values: NDArray[Any]) -> str:
    return graph.constant(np.asarray(values, dtype=np.float64).reshape(1, -1))


def _one_hot(
    graph: OnnxGraph, features: list[str], imputer: Any, encoder: Any
) -> Iterator[tuple[str, str, int]]:
    """Give each category's name, its block of zeros and a one, and the block's width."""
    if encoder.drop is not None or encoder.handle_unknown != "infrequent_if_exist":
        raise ExportError(
            "preprocessing step OneHotEncoder: only drop=None, handle_unknown='infrequent_if_exist' have an "
            "ONNX form"
        )
    groups = encoder.infrequent_categories_ if encoder.min_frequency is not None else [None] * len(features)
    for name, known, rare, fill in zip(
        features, encoder.categories_, groups, imputer.statistics_, strict=True
    ):
        positions, unknown, width = encoder_positions(known, () if rare is None else rare)
        positions[""] = positions.get(fill, unknown)  # null is scored as the value that stands in for it
        # a column that was null throughout is imputed with the number 0, which no text equals
        texts = {text: position for text, position in positions.items() if isinstance(text, str)}
        index = graph.add(
            "LabelEncoder",
            name,
            domain=ML_DOMAIN,
            keys_strings=list(texts),
            values_int64s=list(texts.values()),
            default_int64=unknown,
        )
        places = graph.constant(np.arange(width, dtype=np.int64).reshape(1, -1))
        yield name, graph.add("Cast", graph.add("Equal", index, places), to=TensorProto.DOUBLE), width


def encoder_positions(known: Any, rare: Any) -> tuple[dict[Any, int], int, int]:
    """Say which column of a one-hot block each category switches on.

    Parameters
    ----------
    known : sequence
        All categories of the training rows, sorted.
    rare : sequence
        Those of them that are grouped, in the block's last column.

    Returns
    -------
    positions : dict
        The column of each category.
    unknown : int
        The column of any other: the group's, or -1 for none.
    width : int
        The number of columns.

    Examples
    --------
    >>> encoder_positions(["DE", "MT", "US"], ["MT"])
    ({'DE': 0, 'US': 1, 'MT': 2}, 2, 3)
    """
    grouped = set(rare)
    positions = {category: place for place, category in enumerate(c for c in known if c not in grouped)}
    if not grouped:
        return positions, -1, len(positions)
    group = len(positions)
    return positions | dict.fromkeys(rare, group), group, group + 1
