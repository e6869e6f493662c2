"""Classifiers that have no form of their own here, through skl2onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from tabloop.errors import ExportError
from tabloop.optimization.export.graph import ML_DOMAIN, OPSET, OnnxGraph

#: The last version of `ai.onnx.ml` whose operators skl2onnx writes; 5 took two of them away.
_SKL2ONNX_ML_OPSET = 3
_ROWS_COMPARED = 200
_LARGEST_DIFFERENCE = 1e-4


def graft_classifier(graph: OnnxGraph, x: str, classifier: Any) -> str:
    """Convert a classifier with skl2onnx and copy its nodes in.

    Parameters
    ----------
    graph : OnnxGraph
        The graph that the nodes are added to.
    x : str
        A double tensor of shape (N, n_features).
    classifier : fitted scikit-learn classifier
        With `predict_proba`, else its decision values are taken.

    Returns
    -------
    name : str
        A double tensor of shape (N, 1).

    Raises
    ------
    ExportError
        If skl2onnx cannot convert it.

    Notes
    -----
    skl2onnx computes some classifiers in double and others only in float32; double is tried first. It is
    known to convert some to something else without a word, so the result is compared on random rows.
    """
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    failures = []
    for tensor_type, element in (
        (DoubleTensorType, TensorProto.DOUBLE),
        (FloatTensorType, TensorProto.FLOAT),
    ):
        try:
            model = _converted(classifier, tensor_type([None, classifier.n_features_in_]))
            _require_agreement(classifier, model)
        except Exception as error:  # the converters of skl2onnx may raise anything
            failures.append(f"{type(error).__name__}: {error}".splitlines()[0])
            continue
        given = x if element == TensorProto.DOUBLE else graph.add("Cast", x, to=TensorProto.FLOAT)
        outputs = graph.add_graph(model.graph, {model.graph.input[0].name: given})
        graph.ml_opset = _SKL2ONNX_ML_OPSET
        scores = graph.add("Cast", outputs[model.graph.output[1].name], to=TensorProto.DOUBLE)
        two_columns = hasattr(classifier, "predict_proba")
        if not two_columns:
            return graph.add("Reshape", scores, graph.constant(np.array([-1, 1], dtype=np.int64)))
        return graph.add("Gather", scores, graph.constant(np.array([1], dtype=np.int64)), axis=1)
    reasons = "; ".join(dict.fromkeys(failures))
    raise ExportError(f"classifier {type(classifier).__name__}: skl2onnx cannot convert it: {reasons}")


def _converted(classifier: Any, tensor_type: Any) -> onnx.ModelProto:
    from skl2onnx import convert_sklearn

    options: dict[str, Any] = {"zipmap": False}
    if not hasattr(classifier, "predict_proba"):
        options["raw_scores"] = True
    model: onnx.ModelProto = convert_sklearn(
        classifier,
        initial_types=[("X", tensor_type)],
        options={id(classifier): options},
        target_opset={"": OPSET, ML_DOMAIN: _SKL2ONNX_ML_OPSET},
    )
    if any(node.domain not in ("", ML_DOMAIN) for node in model.graph.node):
        raise ValueError("it needs operators that ONNX Runtime does not have")
    return model


def _require_agreement(classifier: Any, model: onnx.ModelProto) -> None:
    """Compare the classifier and its conversion on random rows.

    Raises
    ------
    ValueError
        If they differ by more than rounding to float32 explains.
    """
    from onnxruntime import InferenceSession, SessionOptions

    quiet = SessionOptions()
    quiet.log_severity_level = 4
    session = InferenceSession(model.SerializeToString(), quiet, providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(0).normal(size=(_ROWS_COMPARED, classifier.n_features_in_))
    as_float = session.get_inputs()[0].type == "tensor(float)"
    rows = rows.astype(np.float32).astype(np.float64)
    got = session.run(None, {"X": rows.astype(np.float32) if as_float else rows})[1]
    if hasattr(classifier, "predict_proba"):
        expected, got = classifier.predict_proba(rows)[:, 1], got[:, 1]
    else:
        expected, got = classifier.decision_function(rows), got.ravel()
    difference = float(np.max(np.abs(got - expected) / np.maximum(1.0, np.abs(expected))))
    if not difference <= _LARGEST_DIFFERENCE:
        raise ValueError(f"what it gives differs by up to {difference:.2g}")
