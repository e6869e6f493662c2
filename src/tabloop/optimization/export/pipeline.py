"""The exact ONNX export: one graph from raw columns to the positive probability."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import onnx

from tabloop import __version__
from tabloop.config.training import Candidate
from tabloop.contract.contract import Contract
from tabloop.errors import ArtifactError, ExportError
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import input_types
from tabloop.optimization.export.classifiers import classifier_to_onnx
from tabloop.optimization.export.exporter import Exporter, load_exporters
from tabloop.optimization.export.graph import OnnxGraph
from tabloop.optimization.export.preprocessing import preprocessing_to_onnx


def export_pipeline(
    pipeline: Any,
    contract: Contract,
    *,
    metadata: Mapping[str, str] = MappingProxyType({}),
    exporter: Exporter | None = None,
) -> onnx.ModelProto:
    """Write a trained pipeline as one ONNX graph over the raw columns.

    Nulls, categories, formulas, scaling and the classifier are all inside. The rows are not judged: ranges
    and row rules are the contract's business. Whether the graph agrees with the pipeline is not checked here.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted, with the steps features, preprocess and classifier, as `train_model` returns it.
    contract : Contract
        The contract it was trained with.
    metadata : mapping of str to str, optional
        Written into the file, sorted: what a reader wants to know without another file. `Predictor.threshold`
        reads `decision_threshold`.
    exporter : callable, optional
        Converts the classifier, in place of the converters here.

    Returns
    -------
    model : onnx.ModelProto
        Its inputs are those of `frame_columns.input_types`; its output `probability` is double, of shape
        (N, 1).

    Raises
    ------
    ExportError
        If a step has no ONNX form, a converter fails or writes no valid graph, or the pipeline was trained
        with another contract.

    Notes
    -----
    Everything is computed in double, in scikit-learn's order of operations. Trees round their inputs to
    float32, as scikit-learn does, and trees and forests come out equal to the last bit. Where there is an
    exponential or a matrix product, the last bits differ: 2e-16 for boosted trees, up to 1e-12 for an SVM.
    """
    steps = dict(pipeline.steps)
    missing = {"features", "preprocess", "classifier"} - set(steps)
    if missing:
        raise ExportError(f"pipeline: has no step {', '.join(sorted(missing))}; got {', '.join(steps)}")
    trained_with = getattr(steps["features"], "contract_", contract)
    if trained_with.to_dict() != contract.to_dict():
        raise ExportError("pipeline step features: it was trained with another contract")
    graph = OnnxGraph(input_types(contract))
    features = preprocessing_to_onnx(graph, contract, steps["preprocess"])
    probability = classifier_to_onnx(graph, features, steps["classifier"], exporter)
    model = graph.model(probability, "probability")
    model.producer_name = "tabloop"
    model.producer_version = __version__
    model.doc_string = (
        "From raw columns, one tensor of shape (N, 1) each, to the probability of the positive class. "
        "Null is NaN in a double and the empty text in a string; timestamps are seconds since 1970 UTC. "
        "Decide positive where probability >= decision_threshold, both as double."
    )
    onnx.helper.set_model_props(model, {key: metadata[key] for key in sorted(metadata)})
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        # a converter of one's own may write anything, and no file of a graph can pass 2 GB
        raise ExportError(f"the graph is no valid ONNX: {error}") from error
    return model


def graph_check(candidates: Mapping[str, Candidate], contract: Contract) -> Callable[[str, Any], str | None]:
    """Give what says why a candidate, by its name and its fitted pipeline, cannot be exported.

    It writes the graph, as the export will, and loads it. None says that both went well.

    Raises
    ------
    ConfigError
        If a converter that a candidate names cannot be imported.
    """
    exporters = load_exporters(candidates)

    def why_no_graph(name: str, pipeline: Any) -> str | None:
        try:
            Predictor(save_model(export_pipeline(pipeline, contract, exporter=exporters.get(name))))
        except (ExportError, ArtifactError) as error:
            return str(error)
        return None

    return why_no_graph


def save_model(model: onnx.ModelProto) -> bytes:
    """Write a model as bytes, equal bytes for equal models.

    Examples
    --------
    >>> save_model(onnx.ModelProto(ir_version=10)).hex()
    '080a'
    """
    written: bytes = model.SerializeToString(deterministic=True)
    return written
