"""What explains a model's single answers, taken from the fitted pipeline while it is exported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from tabloop.contract.contract import Contract
from tabloop.inference.explainer import Explainer, FlatTrees, Unit
from tabloop.inference.records.frame_columns import input_types
from tabloop.optimization.export.classifiers import inner_classifier, without_threshold
from tabloop.optimization.export.features import FeatureTensors
from tabloop.optimization.export.graph import OnnxGraph, dense
from tabloop.optimization.export.pipeline import save_model
from tabloop.optimization.export.preprocessing import preprocessing_to_onnx
from tabloop.optimization.export.tree_models import tree_sum_of
from tabloop.optimization.export.tree_sum import Tree, TreeSum
from tabloop.optimization.export.trees import with_category_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray


def explainer_of(
    pipeline: Any, contract: Contract, background: Mapping[str, NDArray[Any]], *, is_known: bool = True
) -> Explainer:
    """Take out of a pipeline what explains its answers.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted, as for `tabloop.optimization.export.pipeline.export_pipeline`.
    contract : Contract
        The contract it was trained with.
    background : mapping of str to ndarray of shape (n_background,)
        Inputs of the graph, of the training rows that answers are compared with.
    is_known : bool, default=True
        Whether the classifier is exported by tabloop. Of one with a converter of its own, as of an SVM, k
        nearest neighbours or a vote, only the answers are known.

    Returns
    -------
    explainer : Explainer
    """
    classifier = inner_classifier(pipeline[-1])
    is_mapped = classifier is not without_threshold(pipeline[-1])
    trees = tree_sum_of(classifier) if is_known else None
    is_linear = is_known and type(classifier) in (LogisticRegression, LinearDiscriminantAnalysis)
    if trees is None and not is_linear:
        return Explainer("probability", background)
    graph = OnnxGraph(input_types(contract))
    features = preprocessing_to_onnx(graph, contract, pipeline.named_steps["preprocess"])
    if trees is None:
        return Explainer(
            "score" if is_mapped else "log_odds",
            background,
            _features_graph(graph, features.matrix(graph), len(features.sources) + len(features.codes)),
            _ordered((*features.sources, *features.code_sources), background),
            start=float(np.ravel(classifier.intercept_)[0]),
            weights=dense(classifier.coef_).ravel(),
        )
    return _of_trees(graph, features, trees, background, is_mapped=is_mapped)


def _of_trees(
    graph: OnnxGraph,
    features: FeatureTensors,
    trees: TreeSum,
    background: Mapping[str, NDArray[Any]],
    *,
    is_mapped: bool,
) -> Explainer:
    numeric = with_category_bits(graph, features, trees)
    x = numeric.x
    if trees.rounds_to_float32:
        x = graph.add("Cast", graph.add("Cast", x, to=TensorProto.FLOAT), to=TensorProto.DOUBLE)
    scale = trees.sigmoid_slope / trees.divisor
    unit: Unit = "score" if is_mapped else "log_odds" if trees.sigmoid else "probability"
    return Explainer(
        unit,
        background,
        _features_graph(graph, x, numeric.n_columns),
        _ordered(numeric.sources, background),
        start=trees.start * scale,
        trees=_flat(numeric.model.trees, scale),
    )


def _features_graph(graph: OnnxGraph, x: str, width: int) -> bytes:
    return save_model(graph.model(x, "features", width=width))


def _ordered(sources: Iterable[frozenset[str]], background: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(name for name in background if name in source) for source in sources)


def _flat(trees: tuple[Tree, ...], scale: float) -> FlatTrees:
    """Lay the nodes of all trees in one row."""
    starts = np.cumsum([0, *(len(tree.left) for tree in trees)])

    def joined(parts: Iterable[NDArray[Any]], dtype: Any) -> NDArray[Any]:
        return np.concatenate([np.asarray(part, dtype=dtype) for part in parts])

    def moved(children: Iterable[NDArray[Any]]) -> NDArray[Any]:
        pairs = zip(children, starts, strict=False)
        return joined((np.where(child < 0, -1, child + start) for child, start in pairs), np.int32)

    return FlatTrees(
        roots=starts[:-1].astype(np.int32),
        feature=joined((np.where(tree.left < 0, 0, tree.feature) for tree in trees), np.int32),
        left=moved(tree.left for tree in trees),
        right=moved(tree.right for tree in trees),
        threshold=joined((tree.threshold for tree in trees), np.float64),
        value=joined((tree.value * scale for tree in trees), np.float64),
        missing_left=joined(
            (np.zeros(len(t.left)) if t.missing_left is None else t.missing_left for t in trees), np.bool_
        ),
    )
