"""The `training` section: which classifiers compete, and how the best one is chosen."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictFloat, StrictInt, field_validator, model_validator

from tabloop.config.boosters import CatBoostCandidate, ClassWeight, LightGBMCandidate, XGBoostCandidate
from tabloop.config.search import SearchConfig, search_problems
from tabloop.contract.section import Section

_MOST_PARAMETER_VALUES = 10_000
_DEEPEST_PARAMETER = 20
RankBy = Literal["roc_auc", "average_precision", "brier_score"]


class LogisticRegressionCandidate(Section):
    """Logistic regression with an L2 penalty."""

    kind: Literal["logistic_regression"]
    C: StrictFloat = Field(1.0, gt=0, description="Inverse strength of the L2 penalty.")
    max_iter: StrictInt = Field(2000, ge=1, description="Largest number of solver iterations.")
    class_weight: ClassWeight = Field(None, description="Whether classes are weighted to be equal.")


class KNeighborsCandidate(Section):
    """k nearest neighbours."""

    kind: Literal["k_neighbors"]
    n_neighbors: StrictInt = Field(7, ge=1, description="How many neighbours vote.")
    weights: Literal["uniform", "distance"] = Field("uniform", description="How a neighbour counts.")
    max_rows: StrictInt | None = Field(
        100_000,
        ge=100,
        description="Of more training rows a stratified sample of so many is kept, and said; null for all. "
        "Each answer is compared with every row that is kept.",
    )


class SVMCandidate(Section):
    """Support vector machine with an RBF kernel; a sigmoid turns its margin into a probability."""

    kind: Literal["svm"]
    C: StrictFloat = Field(1.0, gt=0, description="Inverse strength of the penalty.")
    gamma: Literal["scale", "auto"] | Annotated[float, Field(gt=0)] = Field(
        "scale", description="Kernel coefficient."
    )
    max_rows: StrictInt | None = Field(
        20_000,
        ge=100,
        description="Of more training rows it is fitted on a stratified sample of so many, and that is said; "
        "null for all. Its time grows with their square.",
    )
    class_weight: ClassWeight = Field(None, description="Whether classes are weighted to be equal.")


class DecisionTreeCandidate(Section):
    """One decision tree."""

    kind: Literal["decision_tree"]
    max_depth: StrictInt | None = Field(8, ge=1, description="Largest depth; null for none.")
    min_samples_leaf: StrictInt = Field(10, ge=1, description="Least training rows in a leaf.")
    class_weight: ClassWeight = Field(None, description="Whether classes are weighted to be equal.")


class RandomForestCandidate(Section):
    """Random forest."""

    kind: Literal["random_forest"]
    n_estimators: StrictInt = Field(400, ge=1, description="How many trees.")
    max_depth: StrictInt | None = Field(None, ge=1, description="Largest depth of a tree; null for none.")
    min_samples_leaf: StrictInt = Field(2, ge=1, description="Least training rows in a leaf.")
    max_features: Literal["sqrt", "log2"] | Annotated[float, Field(gt=0, le=1)] = Field(
        "sqrt", description="Features tried at a split."
    )
    max_samples: StrictInt | None = Field(
        None,
        ge=100,
        description="Most training rows that a tree sees, drawn for it with replacement; null for as many as "
        "there are.",
    )
    class_weight: ClassWeight = Field(None, description="Whether classes are weighted to be equal.")


class HistGradientBoostingCandidate(Section):
    """Histogram gradient boosting of scikit-learn, with nulls and categories handled natively."""

    kind: Literal["hist_gradient_boosting"]
    learning_rate: StrictFloat = Field(0.1, gt=0, description="Shrinkage of each tree.")
    max_iter: StrictInt = Field(100, ge=1, description="How many trees.")
    max_leaf_nodes: StrictInt | None = Field(31, ge=2, description="Largest number of leaves; null for none.")
    min_samples_leaf: StrictInt = Field(20, ge=1, description="Least training rows in a leaf.")
    l2_regularization: StrictFloat = Field(0.0, ge=0, description="L2 penalty on the leaves.")
    class_weight: ClassWeight = Field(None, description="Whether classes are weighted to be equal.")


def _with_labels_as_numbers(value: Any) -> Any:
    """Make whole numbers of the keys that write one: a run records its config as JSON, whose keys are texts.

    Such keys are class labels (`class_weight: {0: 1, 1: 3}`) or numbers of columns.
    """
    if isinstance(value, dict):
        return {
            int(key) if isinstance(key, str) and re.fullmatch(r"-?\d{1,9}", key) else key: (
                _with_labels_as_numbers(each)
            )
            for key, each in value.items()
        }
    return [_with_labels_as_numbers(each) for each in value] if isinstance(value, list) else value


class EstimatorCandidate(Section):
    """Any scikit-learn classifier by import path."""

    kind: Literal["estimator"]
    import_path: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
        description="Such as `sklearn.ensemble.ExtraTreesClassifier`.",
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Its keyword arguments; an unknown one is an error. A mapping with `import_path` (and "
        "`parameters`) among them is built as well, so that estimators nest.",
    )
    exporter: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="A converter of your own to ONNX, as `module:function`; `tabloop docs onnx` says what it "
        "takes.",
    )
    report_only: bool = Field(
        False,
        description="Train and report it, and never choose it: the only way for one that has no exact graph.",
    )

    @field_validator("parameters", mode="before")
    @classmethod
    def _bounded(cls, parameters: Any) -> Any:
        # with YAML aliases a few lines can make a tree that takes for ever to walk
        left = _MOST_PARAMETER_VALUES
        stack = [(parameters, 0)]
        while stack:
            value, depth = stack.pop()
            left -= 1
            if left < 0 or depth > _DEEPEST_PARAMETER:
                raise ValueError(
                    f"more than {_MOST_PARAMETER_VALUES:,} values, or nested deeper than "
                    f"{_DEEPEST_PARAMETER}, YAML aliases written out; write fewer"
                )
            children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            stack.extend((child, depth + 1) for child in children)
        return _with_labels_as_numbers(parameters)


Candidate = Annotated[
    LogisticRegressionCandidate
    | KNeighborsCandidate
    | SVMCandidate
    | DecisionTreeCandidate
    | RandomForestCandidate
    | HistGradientBoostingCandidate
    | LightGBMCandidate
    | XGBoostCandidate
    | CatBoostCandidate
    | EstimatorCandidate,
    Field(discriminator="kind"),
]

CANDIDATE_KINDS = (
    "logistic_regression",
    "k_neighbors",
    "svm",
    "decision_tree",
    "random_forest",
    "hist_gradient_boosting",
    "lightgbm",
    "xgboost",
    "catboost",
    "estimator",
)


class TrainingConfig(Section):
    """Which classifiers compete, and how the best one is chosen."""

    candidates: dict[str, Candidate] = Field(
        default_factory=lambda: dict[str, Candidate](
            logistic_regression=LogisticRegressionCandidate.model_validate({"kind": "logistic_regression"}),
            k_neighbors=KNeighborsCandidate.model_validate({"kind": "k_neighbors"}),
            svm=SVMCandidate.model_validate({"kind": "svm"}),
            decision_tree=DecisionTreeCandidate.model_validate({"kind": "decision_tree"}),
            random_forest=RandomForestCandidate.model_validate({"kind": "random_forest"}),
        ),
        min_length=1,
        description="The classifiers, by names of your choice; `kind` may be left out where the name is one.",
    )
    rank_by: RankBy = Field(
        "roc_auc", description="Cross-validated figure that ranks; a tie goes to the candidate named first."
    )
    keep: Literal["all", "winner"] = Field(
        "all", description="Which candidates are fitted again on all training rows and stored."
    )
    probability_calibration: Literal["none", "sigmoid", "isotonic"] = Field(
        "none", description="How the winner's out-of-fold probabilities are calibrated."
    )
    engine: Literal["local", "ray"] = Field(
        "local",
        description="Where candidates are fitted: on the cores of this machine (`local`), or on a Ray "
        "cluster (`ray`): that of `RAY_ADDRESS`, without it one on this machine. Changes no result.",
    )
    workers: StrictInt | None = Field(
        None,
        ge=1,
        description="Processes that train side by side; null for one a core, none where work is short. "
        "Changes no result.",
    )
    time_budget_s: StrictFloat | None = Field(
        None,
        gt=0,
        description="Seconds that training may take. Candidates that do not fit in are shrunk or dropped by "
        "the rule in `tabloop docs sizes`, and the run says which; null for no limit.",
    )
    search: SearchConfig | None = Field(
        None,
        description="Whether settings of the candidates are searched (`tabloop docs tuning`); null for no "
        "search.",
    )

    @model_validator(mode="before")
    @classmethod
    def _kind_from_name(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("candidates"), dict):
            return data
        candidates = {
            name: {"kind": name, **(settings or {})}
            if name in CANDIDATE_KINDS
            and isinstance(settings, dict | None)
            and "kind" not in (settings or {})
            else settings
            for name, settings in data["candidates"].items()
        }
        return data | {"candidates": candidates}

    @model_validator(mode="after")
    def _one_to_choose(self) -> Self:
        if all(isinstance(c, EstimatorCandidate) and c.report_only for c in self.candidates.values()):
            raise ValueError("candidates: all are report_only; expected at least one that can be chosen")
        return self

    @model_validator(mode="after")
    def _search_fits(self) -> Self:
        if self.search is not None and (problems := search_problems(self.search, self.candidates)):
            raise ValueError("; ".join(problems))
        return self

    @field_validator("candidates")
    @classmethod
    def _plain_names(cls, candidates: dict[str, Any]) -> dict[str, Any]:
        for name in candidates:
            if not name.replace("_", "").replace("-", "").isalnum() or not name.isascii():
                raise ValueError(f"{name!r} names files: use letters, digits, - and _")
        return candidates
