"""The trees of LightGBM, read from the text that it writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.errors import ExportError
from tabloop.optimization.export.tree_sum import CategorySet, Tree, TreeSum

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What LightGBM takes for zero: a float32 in its source, compared as double.
ZERO = float(np.float32(1e-35))

# The bits of `decision_type`
_IS_CATEGORY, _DEFAULT_LEFT = 1, 2
_MISSING_IS_ZERO, _MISSING_IS_NAN = 1, 2


def lightgbm_sum(classifier: Any) -> TreeSum:
    """Read the trees of a fitted LightGBM classifier.

    Parameters
    ----------
    classifier : fitted classifier
        The classifier, with its booster as `booster_`.

    Raises
    ------
    ExportError
        If its leaves are linear models, or its objective is not the binary one.

    Notes
    -----
    The text has 17 digits, which is a double to the bit. LightGBM compares and adds in double; it takes
    numbers up to 1e-35 for zero, a missing number for zero unless the feature had missing ones in training,
    and a category that it does not know for one of the right side.
    """
    head, *texts = classifier.booster_.model_to_string().split("\nTree=")
    header = _fields(head)
    objective = header.get("objective", "").split()
    if not objective or objective[0] != "binary" or header.get("num_tree_per_iteration") != "1":
        raise ExportError(
            f"classifier {type(classifier).__name__}: no exact graph for the objective "
            f"{' '.join(objective) or 'custom'}; expected binary"
        )
    slope = next((float(part[8:]) for part in objective if part.startswith("sigmoid:")), 1.0)
    sets: list[CategorySet] = []
    zero_is_missing: set[int] = set()
    trees = [_tree(_fields(text), sets, zero_is_missing) for text in texts]
    averages = "average_output" in head.splitlines()
    return TreeSum(
        tuple(trees),
        divisor=float(len(trees)) if averages else 1.0,
        sigmoid=True,
        sigmoid_slope=slope,
        rounds_to_float32=False,
        category_sets=tuple(sets),
        zero_is_missing=frozenset(zero_is_missing),
    )


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _tree(fields: Mapping[str, str], sets: list[CategorySet], zero_is_missing: set[int]) -> Tree:
    if fields.get("is_linear", "0") != "0":
        raise ExportError("classifier: no exact graph for the linear leaves of LightGBM (linear_tree)")
    values = _numbers(fields, "leaf_value")
    n_inner = int(fields["num_leaves"]) - 1
    if n_inner == 0:
        return Tree(np.array([-1]), np.zeros(1), np.array([-1]), np.array([-1]), values)
    feature = _numbers(fields, "split_feature").astype(np.int64)
    kind = _numbers(fields, "decision_type").astype(np.int64)
    threshold = _numbers(fields, "threshold")
    is_category = kind & _IS_CATEGORY > 0
    default_left = kind & _DEFAULT_LEFT > 0
    missing = kind >> 2 & 3
    category_set = np.full(n_inner, -1)
    if is_category.any():
        bounds = _numbers(fields, "cat_boundaries").astype(np.int64)
        words = np.array(fields["cat_threshold"].split(), dtype=np.uint32)
        for node in np.flatnonzero(is_category):
            number = int(threshold[node])
            own = words[bounds[number] : bounds[number + 1]]
            bits = np.unpackbits(own.view(np.uint8), bitorder="little").astype(np.bool_)
            category_set[node] = len(sets)
            sets.append(CategorySet(bits, others_left=False))
        threshold = np.where(is_category, 0.0, threshold)
    zeros = np.unique(feature[~is_category & (missing == _MISSING_IS_ZERO)])
    mixed = np.unique(feature[~is_category & (missing != _MISSING_IS_ZERO)])
    if np.isin(zeros, mixed).any():
        raise ExportError(
            "classifier: no exact graph for a feature whose zeros are missing at some splits only"
        )
    zero_is_missing.update(zeros.tolist())
    # what counts as zero is on one side of every threshold
    near = np.abs(threshold) <= ZERO
    threshold = np.where(near & (threshold >= 0), ZERO, threshold)
    threshold = np.where(near & (threshold < 0), np.nextafter(-ZERO, -1.0), threshold)
    missing_left = np.where(missing == 0, threshold >= 0, default_left)
    children = (
        _numbers(fields, "left_child").astype(np.int64),
        _numbers(fields, "right_child").astype(np.int64),
    )
    # leaves come after the inner nodes; LightGBM numbers them -1, -2, ...
    left, right = (np.where(child < 0, n_inner - 1 - child, child) for child in children)
    none = np.full(len(values), -1)
    return Tree(
        np.concatenate([feature, none]),
        np.concatenate([threshold, np.zeros(len(values))]),
        np.concatenate([left, none]),
        np.concatenate([right, none]),
        np.concatenate([np.zeros(n_inner), values]),
        np.concatenate([missing_left, np.zeros(len(values), dtype=np.bool_)]),
        np.concatenate([category_set, none]),
    )


def _numbers(fields: Mapping[str, str], name: str) -> NDArray[np.float64]:
    return np.array(fields[name].split(), dtype=np.float64)
