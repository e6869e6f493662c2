"""Find out how far 8 bits can be pushed for a random forest: size, latency, differences, flipped decisions.

Run ``OMP_NUM_THREADS=1 python benchmarks/int8_forest.py --trees 400``: two minutes, half of them training.
The table is the students' (``--data PATH``, else the folder in ``TABLOOP_REAL_DATA``, else the bundled one).
What came of it: ``docs/int8.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime.quantization import quantize_dynamic
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from tabloop.config.loading import load_project
from tabloop.contract.contract import Contract
from tabloop.data.dataset import read_dataset
from tabloop.data.split import split_dataset
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame, input_types
from tabloop.optimization.export.features import FeatureTensors
from tabloop.optimization.export.graph import OnnxGraph
from tabloop.optimization.export.pipeline import export_pipeline, save_model
from tabloop.optimization.export.preprocessing import preprocessing_to_onnx
from tabloop.optimization.export.tree_models import tree_sum_of
from tabloop.optimization.export.tree_sum import TreeSum
from tabloop.optimization.int8.trees import TreePlan, choose_cuts, quantized_tree_scores
from tabloop.training.train import train_model

ROOT = Path(__file__).parents[1]
CUTS = 255


@dataclass(frozen=True)
class Row:
    """What one variant costs and how it answers; latencies are medians, per row."""

    variant: str
    bytes: int
    compressed_bytes: int
    us_alone: float
    us_in_256: float
    us_in_4096: float
    max_abs_diff: float
    mean_abs_diff: float
    flips: int
    roc_auc: float


@dataclass(frozen=True)
class ByteTrees:
    """A forest whose every node is four bytes: a column, a code and how far on the right child is.

    The left child is the next node. A leaf tests a column that holds 256, above every code, and so goes
    right, by nothing: it stays where it is; its code is its value. A feature with more than 255 cuts is given
    as many columns of codes as it needs, so that no split is moved.
    """

    column: NDArray[np.uint8]
    code: NDArray[np.uint8]
    jump: NDArray[np.uint16]
    roots: NDArray[np.int32]
    depth: int
    features: NDArray[np.int64]
    cuts: NDArray[np.float32]


def byte_trees(model: TreeSum) -> ByteTrees:
    """Lay a forest out in bytes; its leaves lie in [0, 1]."""
    inner = [tree.left >= 0 for tree in model.trees]
    tested = np.concatenate([tree.feature[kept] for tree, kept in zip(model.trees, inner, strict=True)])
    splits = np.concatenate(
        [_down(tree.threshold[kept]) for tree, kept in zip(model.trees, inner, strict=True)]
    )
    cuts_of = {int(feature): np.unique(splits[tested == feature]) for feature in np.unique(tested)}
    first: dict[int, int] = {}
    features: list[int] = []
    cuts: list[NDArray[np.float32]] = []
    for feature, found in cuts_of.items():
        first[feature] = len(features) + 1  # column 0 is the leaves'
        for start in range(0, len(found), CUTS):
            part = found[start : start + CUTS]
            features.append(feature)
            cuts.append(np.pad(part, (0, CUTS - len(part)), constant_values=np.inf))
    assert len(features) < 256, "more columns than a byte can name"
    columns: list[NDArray[np.uint8]] = []
    codes: list[NDArray[np.uint8]] = []
    jumps: list[NDArray[np.uint16]] = []
    roots: list[int] = []
    depth = 0
    for tree, kept in zip(model.trees, inner, strict=True):
        places = np.flatnonzero(kept)
        assert (tree.left[places] == places + 1).all(), "scikit-learn writes the left child next"
        column = np.zeros(len(kept), dtype=np.uint8)
        code = np.rint(tree.value * 255).astype(np.uint8)
        jump = np.zeros(len(kept), dtype=np.uint16)
        below = _down(tree.threshold)
        ranks = np.array(
            [np.searchsorted(cuts_of[int(tree.feature[i])], below[i]) for i in places], dtype=np.int64
        )
        bases = np.array([first[int(tree.feature[i])] for i in places], dtype=np.int64)
        column[places], code[places], jump[places] = (
            bases + ranks // CUTS,
            ranks % CUTS,
            tree.right[places] - places,
        )
        level = np.zeros(len(kept), dtype=np.int64)
        for place in places:
            level[tree.left[place]] = level[tree.right[place]] = level[place] + 1
        depth = max(depth, int(level.max()))
        roots.append(sum(each.size for each in columns))
        columns.append(column)
        codes.append(code)
        jumps.append(jump)
    return ByteTrees(
        np.concatenate(columns), np.concatenate(codes), np.concatenate(jumps),
        np.array([roots], dtype=np.int32), depth, np.array(features), np.array(cuts, dtype=np.float32),
    )  # fmt: skip


def _down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    nearest = values.astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def traversal_scores(graph: OnnxGraph, x: str, forest: ByteTrees, divisor: float) -> str:
    """Add a walk down all trees at once, a level at a time, over tables of bytes."""
    add, constant = graph.add, graph.constant
    features = add("Gather", add("Cast", x, to=TensorProto.FLOAT), constant(forest.features), axis=1)
    above = add("Greater", add("Unsqueeze", features, constant(np.array([2]))), constant(forest.cuts[None]))
    codes = add("ReduceSum", add("Cast", above, to=TensorProto.INT32), constant(np.array([2])), keepdims=0)
    zero = add(
        "Mul",
        add("Slice", codes, *(constant(np.array([n])) for n in (0, 1, 1))),
        constant(np.zeros((1, 1), dtype=np.int32)),
    )
    rows = add("Concat", add("Add", zero, constant(np.full((1, 1), 256, dtype=np.int32))), codes, axis=1)
    column, code, jump = (
        add("Cast", constant(table), to=TensorProto.INT32)
        for table in (forest.column, forest.code, forest.jump)
    )
    node, one = add("Add", zero, constant(forest.roots)), constant(np.ones((1, 1), dtype=np.int32))
    for _ in range(forest.depth):
        value = add("GatherElements", rows, add("Gather", column, node), axis=1)
        right = add("Greater", value, add("Gather", code, node))
        node = add("Add", node, add("Where", right, add("Gather", jump, node), one))
    total = add("ReduceSum", add("Gather", code, node), constant(np.array([1])))
    return add("Div", add("Cast", total, to=TensorProto.DOUBLE), constant(np.array([[255 * divisor]])))


def count_distinct_subtrees(
    model: TreeSum, cuts: dict[int, NDArray[np.float64]] | None, levels: int | None
) -> int:
    """Count the inner nodes that are left when equal subtrees of all trees are stored once."""
    seen: dict[Any, int] = {}
    for tree in model.trees:
        known: list[int] = [0] * len(tree.left)
        for node in range(len(known) - 1, -1, -1):  # children come after their parents
            if tree.left[node] < 0:
                value = tree.value[node]
                known[node] = -1 - (hash(value) if levels is None else round(value * levels))
                continue
            feature, split = int(tree.feature[node]), tree.threshold[node]
            if cuts is not None:
                split = int(np.abs(cuts[feature] - split).argmin())
            key = feature, split, known[tree.left[node]], known[tree.right[node]]
            known[node] = seen.setdefault(key, len(seen))
    return len(seen)


def build(
    pipeline: Pipeline, contract: Contract, scores: Callable[[OnnxGraph, FeatureTensors], str]
) -> onnx.ModelProto:
    """Write the graph of a pipeline with another form of its forest."""
    graph = OnnxGraph(input_types(contract))
    return graph.model(
        scores(graph, preprocessing_to_onnx(graph, contract, pipeline["preprocess"])), "probability"
    )


def build_variants(pipeline: Pipeline, contract: Contract) -> dict[str, onnx.ModelProto]:
    """Give every variant by name."""
    trees = tree_sum_of(pipeline[-1])
    assert trees is not None
    exact = export_pipeline(pipeline, contract)

    def planned(*, splits: bool, leaves: bool, max_cuts: int = CUTS) -> onnx.ModelProto:
        plan = TreePlan(splits=splits, leaves=leaves, max_cuts=max_cuts)
        return build(
            pipeline, contract, lambda graph, features: quantized_tree_scores(graph, features, trees, plan)
        )

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dynamic.onnx"
        quantize_dynamic(exact, path)
        dynamic = onnx.load(path)
    forest = byte_trees(trees)
    return {
        "exact, double (model.onnx)": exact,
        "quantize_dynamic of it": dynamic,
        "float32 splits and leaves": planned(splits=False, leaves=False),
        "8-bit leaves": planned(splits=False, leaves=True),
        "8-bit split codes": planned(splits=True, leaves=False),
        "both": planned(splits=True, leaves=True),
        "both, 63 cuts a feature": planned(splits=True, leaves=True, max_cuts=63),
        "both, 15 cuts a feature": planned(splits=True, leaves=True, max_cuts=15),
        "4 bytes a node, own traversal": build(
            pipeline,
            contract,
            lambda graph, features: traversal_scores(graph, features.matrix(graph), forest, trees.divisor),
        ),
    }


def measure(
    variants: dict[str, onnx.ModelProto],
    pipeline: Pipeline,
    contract: Contract,
    test: pl.DataFrame,
    threshold: float,
    seconds: float,
) -> list[Row]:
    """Measure the variants side by side, with other rows in every round."""
    expected = pipeline.predict_proba(test)[:, 1]
    y_true = test[contract.target.name].to_numpy()
    columns = columns_of_frame(contract, test)
    written = {name: save_model(model) for name, model in variants.items()}
    predictors = {name: Predictor(content) for name, content in written.items()}
    timed = {size: time_side_by_side(predictors, columns, size, seconds) for size in (1, 256, 4096)}
    rows = []
    for name, predictor in predictors.items():
        answered = predictor.predict(columns)
        difference = np.abs(answered - expected)
        rows.append(
            Row(
                variant=name,
                bytes=len(written[name]),
                compressed_bytes=len(zlib.compress(written[name], 6)),
                us_alone=timed[1][name],
                us_in_256=timed[256][name],
                us_in_4096=timed[4096][name],
                max_abs_diff=float(difference.max()),
                mean_abs_diff=float(difference.mean()),
                flips=int(((answered >= threshold) != (expected >= threshold)).sum()),
                roc_auc=float(roc_auc_score(y_true, answered)),
            )
        )
    return rows


def time_side_by_side(
    predictors: dict[str, Predictor], columns: dict[str, NDArray[Any]], size: int, seconds: float
) -> dict[str, float]:
    """Give the median microseconds per row."""
    rng = np.random.default_rng(0)
    n_rows = len(next(iter(columns.values())))
    names = list(predictors)
    found: dict[str, list[float]] = {name: [] for name in names}
    begun, turn = time.perf_counter(), 0
    while turn < 4 or time.perf_counter() - begun < seconds:
        places = rng.integers(n_rows, size=size)
        batch = {name: values[places] for name, values in columns.items()}
        for name in (names[place] for place in rng.permutation(len(names))):  # each empties another's cache
            start = time.perf_counter()
            predictors[name].predict(batch)
            found[name].append((time.perf_counter() - start) / size * 1e6)
        turn += 1
    return {name: float(np.median(each[1:])) for name, each in found.items()}


def main() -> None:
    """Train, build, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    folder = os.environ.get("TABLOOP_REAL_DATA")
    bundled = ROOT / "data" / "ml_datasource.csv"
    parser.add_argument("--data", type=Path, default=Path(folder) / bundled.name if folder else bundled)
    parser.add_argument("--trees", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing at each batch size")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    forest = f"{{random_forest: {{n_estimators: {arguments.trees}, min_samples_leaf: 2}}}}"
    overrides = [f"training.candidates={forest}", f"data.source.path={arguments.data.absolute()}"]
    project = load_project(ROOT / "config.yaml", overrides=overrides, environ={})
    config, contract = project.config, project.contract
    dataset = read_dataset(config.data, contract, project.folder)
    split = split_dataset(
        dataset.frame, contract.target.name, test_size=config.data.test_size, seed=config.seed
    )
    result = train_model(config, contract, split.train, split.test, groups=split.train_groups)
    pipeline, threshold = result.best_pipeline, result.threshold.threshold
    variants = build_variants(pipeline, contract)
    rows = measure(variants, pipeline, contract, split.test, threshold, arguments.seconds)
    trees = tree_sum_of(pipeline[-1])
    assert trees is not None
    subtrees = {
        "exact": count_distinct_subtrees(trees, None, None),
        "255 cuts, 256 levels": count_distinct_subtrees(trees, choose_cuts(trees), 255),
        "15 cuts, 16 levels": count_distinct_subtrees(trees, choose_cuts(trees, max_cuts=15), 15),
    }
    n_inner = sum(int((tree.left >= 0).sum()) for tree in trees.trees)
    if arguments.json:
        found = {"rows": [asdict(row) for row in rows], "inner_nodes": n_inner, "distinct_subtrees": subtrees}
        print(json.dumps(found | {"test_rows": split.test.height, "threshold": threshold}, indent=2))
        return
    print(f"{arguments.trees} trees, {n_inner:,} inner nodes, {split.test.height:,} test rows, "
          f"threshold {threshold:.4f}")  # fmt: skip
    print("| variant | KB | zlib KB | µs alone | in 256 | in 4096 | max \\|Δp\\| | mean | flips | ROC-AUC |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        print(f"| {row.variant} | {row.bytes / 1e3:,.0f} | {row.compressed_bytes / 1e3:,.0f} "
              f"| {row.us_alone:.0f} | {row.us_in_256:.1f} | {row.us_in_4096:.1f} | {row.max_abs_diff:.1e} "
              f"| {row.mean_abs_diff:.1e} | {row.flips} | {row.roc_auc:.5f} |")  # fmt: skip
    print("inner nodes if equal subtrees were stored once: "
          + ", ".join(f"{name} {count:,}" for name, count in subtrees.items()))  # fmt: skip


if __name__ == "__main__":
    main()
