"""The trees of CatBoost, read from the JSON that it writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from tabloop.errors import ExportError
from tabloop.optimization.export.tree_sum import CategorySet, Tree, TreeSum

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOSSES = ("Logloss", "CrossEntropy")
_LOW_BITS = 2**32
_ALL_BITS = 2**64
# how CatBoost hashes what a statistic is about: the one odd number of its `calc_hash`
_MULTIPLIER = 0x4906BA494954CB65


def catboost_sum(classifier: Any) -> TreeSum:
    """Read the trees of a fitted CatBoost classifier.

    Parameters
    ----------
    classifier : fitted classifier
        With the booster as `booster_` and codes of categories, or CatBoost's own on numbers.

    Raises
    ------
    ExportError
        If its trees are not symmetric, or its loss is another one, or a split is on something that has no
        exact form: a statistic of combined categories, a text, an embedding.

    Notes
    -----
    A tree asks the same question of all rows at each depth, ``float32(x) > border``, and adds a double.
    Categories are known by their hash. A statistic of a column's category is a function of its code alone, so
    that the question whether it is above a border asks for a set of codes.
    """
    name = f"classifier {type(classifier).__name__}"
    booster = getattr(classifier, "booster_", classifier)
    places = classifier.categories if booster is not classifier else ()
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.json")
        codes = _all_codes(classifier) if places else None
        booster.save_model(str(path), format="json", pool=codes)
        model = json.loads(path.read_bytes())
    loss = str(booster.get_all_params().get("loss_function", "")).partition(":")[0]
    if loss not in _LOSSES:
        raise ExportError(f"{name}: no exact graph for the loss {loss}; expected {' or '.join(_LOSSES)}")
    if "oblivious_trees" not in model:
        raise ExportError(f"{name}: no exact graph for trees that are not symmetric (grow_policy)")
    scale, bias = model["scale_and_bias"]
    if scale != 1 or len(bias) != 1:
        raise ExportError(f"{name}: no exact graph for a sum that is scaled by {scale}")
    questions = _Questions(model, name)
    trees = [_tree(questions.of(tree["splits"]), tree["leaf_values"]) for tree in model["oblivious_trees"]]
    if bias[0]:  # it is added last
        trees.append(_tree([], bias))
    return TreeSum(tuple(trees), sigmoid=True, category_sets=tuple(questions.sets))


def _all_codes(classifier: Any) -> Any:
    """Give rows that hold every code, for the library to tell the hashes."""
    rows = np.zeros((classifier.n_codes_, classifier.n_features_in_))
    rows[:, list(classifier.categories)] = np.arange(classifier.n_codes_)[:, np.newaxis]
    return classifier.pool(rows)


@dataclass(frozen=True)
class _Number:
    """The question whether a number is above a border."""

    place: int
    border: float
    nan_is_low: bool

    def narrowed(self, known: Any, *, above: bool) -> tuple[float, float] | None:
        """Say what is known of the number after an answer: above the first, not above the second."""
        low, high = known or (-np.inf, np.inf)
        low, high = (max(low, self.border), high) if above else (low, min(high, self.border))
        return (low, high) if low < high else None


@dataclass(frozen=True)
class _Category:
    """The question whether a category is in a set."""

    place: int
    number: int
    codes: NDArray[np.bool_]  # the last stands for all codes that training never saw

    def narrowed(self, known: Any, *, above: bool) -> NDArray[np.bool_] | None:
        """Say which codes can be there after an answer."""
        here = self.codes if above else ~self.codes
        left: NDArray[np.bool_] = here if known is None else here & known
        return left if left.any() else None


class _Questions:
    """What trees ask, in CatBoost's own order: numbers, single categories, statistics of categories."""

    def __init__(self, model: Any, name: str) -> None:
        features = model["features_info"]
        categories = features.get("categorical_features", [])
        places = {category["feature_index"]: category["flat_feature_index"] for category in categories}
        texts = {int(pair["value"]): int(pair["hash"]) for pair in features.get("cat_features_hash", [])}
        hashes = [texts[code] for code in range(len(texts))]
        self.sets: list[CategorySet] = []
        self._asked: list[_Number | _Category] = []
        for number in features.get("float_features", []):
            place, low = number["flat_feature_index"], number["nan_value_treatment"] != "AsTrue"
            self._asked += [_Number(place, float(border), low) for border in number["borders"] or ()]
        for category in categories:
            for value in category.get("values", []):
                known = [own == int(value) % _LOW_BITS for own in hashes]
                self._ask(category["flat_feature_index"], np.array([*known, False]))
        for ctr in features.get("ctrs", []):
            elements = ctr["elements"]
            if len(elements) != 1 or elements[0]["combination_element"] != "cat_feature_value":
                raise ExportError(f"{name}: no exact graph for statistics of combined categories")
            statistics = _statistics(ctr, model["ctr_data"][ctr["identifier"]], hashes, name)
            for border in np.asarray(ctr["borders"], dtype=np.float32):
                self._ask(places[elements[0]["cat_feature_index"]], statistics > border)

    def _ask(self, place: int, codes: NDArray[np.bool_]) -> None:
        self._asked.append(_Category(place, len(self.sets), codes))
        self.sets.append(CategorySet(~codes[:-1], others_left=not codes[-1]))

    def of(self, splits: Any) -> list[_Number | _Category]:
        """Give those of a tree; none where it is a single leaf."""
        return [self._asked[split["split_index"]] for split in splits or ()]


def _statistics(ctr: Any, table: Any, hashes: list[int], name: str) -> NDArray[np.float32]:
    """Compute a statistic of each code in float32, as CatBoost does, and last of codes that it never saw."""
    stride = table["hash_stride"]
    numbers = [int(number) for number in table["hash_map"]]
    rows = {numbers[start]: numbers[start + 1 : start + stride] for start in range(0, len(numbers), stride)}
    unseen = [0] * (stride - 1)
    counts = np.array([*(rows.get(_key(own), unseen) for own in hashes), unseen], dtype=np.float32)
    match ctr["ctr_type"]:
        case "Borders" if stride == 3:
            good, total = counts[:, 1], counts[:, 0] + counts[:, 1]
        case "Counter":
            good = counts[:, 0]
            total = np.full_like(good, table["counter_denominator"])
        case other:
            raise ExportError(f"{name}: no exact graph for the statistic {other} of a category")
    first, second, shift, scale = (
        np.float32(ctr[key]) for key in ("prior_numerator", "prior_denomerator", "shift", "scale")
    )
    statistics: NDArray[np.float32] = ((good + first) / (total + second) + shift) * scale
    return statistics


def _key(category_hash: int) -> int:
    """Hash what a statistic is about: one category, by its own hash as a signed number of 32 bits."""
    signed = category_hash - _LOW_BITS if category_hash >= _LOW_BITS // 2 else category_hash
    return _MULTIPLIER * (_MULTIPLIER * signed % _ALL_BITS) % _ALL_BITS


def _tree(questions: list[_Number | _Category], values: list[float]) -> Tree:
    """Write a symmetric tree as nodes, without those that no row reaches and those whose sides are equal."""
    nodes: list[tuple[Any, ...]] = []

    def write(grown: Any) -> int:
        place = len(nodes)
        if isinstance(grown, float):
            nodes.append((-1, 0.0, -1, -1, grown, False, -1))
            return place
        nodes.append(())
        question, *sides = grown
        left, right = map(write, sides)
        if isinstance(question, _Number):
            nodes[place] = (question.place, question.border, left, right, 0.0, question.nan_is_low, -1)
        else:
            nodes[place] = (question.place, 0.0, left, right, 0.0, False, question.number)
        return place

    write(_grown(questions, values, 0, 0, {}))
    feature, threshold, left, right, value, low, number = map(np.array, zip(*nodes, strict=True))
    return Tree(feature, threshold, left, right, value, low, number)


def _grown(
    questions: list[_Number | _Category], values: list[float], depth: int, leaf: int, known: dict[int, Any]
) -> Any:
    """Give a value, or a question with what follows on no and on yes."""
    if depth == len(questions):
        return float(values[leaf])
    question = questions[depth]
    sides = []
    for answer in (0, 1):
        narrowed = question.narrowed(known.get(question.place), above=bool(answer))
        if narrowed is not None:
            here = known | {question.place: narrowed}
            sides.append(_grown(questions, values, depth + 1, leaf | answer << depth, here))
    if len(sides) == 1 or sides[0] == sides[1]:
        return sides[0]
    return question, *sides
