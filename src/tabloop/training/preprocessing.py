"""The steps before the classifier: what each family of models gets to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.utils.validation import check_is_fitted, validate_data

from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.training.category_codes import CategoryCodes, OrderedCategories
from tabloop.training.family import SCALED, Family

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

# A row's own target is no part of its encoding: that is learned on the other folds
_TARGET_ENCODING_FOLDS = 5

# A narrower column, or one narrower than this share of its values, is moved before it is rounded to float32
_LEAST_WIDTH = 0.01
_LEAST_SHARE = 0.001
_LARGEST = 1e30


class ContractFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Compute the contract's features of raw rows; learns nothing.

    Parameters
    ----------
    contract : dict
        The contract as `Contract.to_dict` writes it.
    """

    def __init__(self, contract: dict[str, Any]) -> None:
        self.contract = contract

    def fit(self, X: Any, y: Any = None) -> Self:
        """Read the contract; the rows are not looked at."""
        self.contract_ = Contract.from_dict(self.contract)
        self.feature_names_in_ = np.asarray(list(self.contract_.columns), dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        return self

    def transform(self, X: Any) -> pl.DataFrame:
        """Compute numeric features and categories of a Polars or pandas frame; see `feature_frame`."""
        check_is_fitted(self)
        return feature_frame(self.contract_, X)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Name the numeric features and the categories, in order."""
        check_is_fitted(self)
        names = (*self.contract_.numeric_features, *self.contract_.category_features)
        return np.asarray(names, dtype=object)


class OutlierClipper(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Clip numbers far outside the quartiles of the rows it was fitted on.

    Parameters
    ----------
    factor : float
        Clip at this many interquartile ranges below the first and above the third quartile.

    Notes
    -----
    With 1.5 these are Tukey's fences [1]_. A column whose quartiles are equal is left alone: most of
    its values are one value, and all others would be clipped to it.

    References
    ----------
    .. [1] J. W. Tukey, "Exploratory Data Analysis", Addison-Wesley, 1977.

    Examples
    --------
    >>> OutlierClipper(factor=1.5).fit_transform([[0.0], [1.0], [2.0], [3.0], [100.0]]).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 6.0]
    """

    def __init__(self, factor: float = 1.5) -> None:
        self.factor = factor

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the fences of each column."""
        X = validate_data(self, X, dtype=np.float64)
        first, third = np.quantile(X, [0.25, 0.75], axis=0)
        spread = third - first
        self.lower_ = np.where(spread > 0, first - self.factor * spread, -np.inf)
        self.upper_ = np.where(spread > 0, third + self.factor * spread, np.inf)
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Clip each column to its fences."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        clipped: NDArray[np.float64] = np.clip(X, self.lower_, self.upper_)
        return clipped


class UnscaledNumbers(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Hand numbers on as they are, NaN where they are missing; learns nothing."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Note the columns."""
        validate_data(self, X, dtype=np.float64, ensure_all_finite=False)
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Give the numbers as float64."""
        check_is_fitted(self)
        numbers: NDArray[np.float64] = validate_data(
            self, X, dtype=np.float64, ensure_all_finite=False, reset=False
        )
        return numbers


class Float32Numbers(UnscaledNumbers):
    """Hand numbers on as they are, NaN where they are missing, to a model that compares them as float32.

    Attributes
    ----------
    offset_, scale_ : ndarray of float64, shape (n_features,)
        What is taken from each column, and what it is divided by: 0 and 1, but for columns whose values
        float32 would blur (moments of one day, in seconds since 1970), or whose steps are too small for
        scikit-learn's trees, which take values less than 1e-7 apart for equal, or too large for float32.
        Those lie between 0 and 1 afterwards.

    Examples
    --------
    >>> numbers = Float32Numbers().fit([[1.5, 1_700_000_000.0], [4.0, 1_700_003_600.0]])
    >>> numbers.offset_.tolist(), numbers.scale_.tolist()
    ([0.0, 1700000000.0], [1.0, 3600.0])
    >>> numbers.transform([[np.nan, 1_700_000_900.0]]).tolist()
    [[nan, 0.25]]
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn how wide the values of each column lie."""
        super().fit(X)
        numbers = super().transform(X)
        self.offset_, self.scale_ = np.zeros(numbers.shape[1]), np.ones(numbers.shape[1])
        for place, column in enumerate(numbers.T):
            values = column[np.isfinite(column)]
            low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
            width, largest = high - low, max(abs(low), abs(high))
            is_wide = width >= _LEAST_WIDTH and _LEAST_SHARE * largest <= width
            if low < high and not (is_wide and largest < _LARGEST):
                self.offset_[place], self.scale_[place] = low, width
        return self

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Give the numbers as float64, none beyond the range of float32."""
        limit = float(np.finfo(np.float32).max)
        with np.errstate(over="ignore"):  # far beyond what it was fitted on
            moved = (super().transform(X) - self.offset_) / self.scale_
        bounded: NDArray[np.float64] = np.clip(moved, -limit, limit)
        return bounded


def build_preprocessor(
    config: PreprocessingConfig, contract: Contract, family: Family = SCALED, *, seed: int = 0
) -> ColumnTransformer:
    """Build the steps that are learned from the training rows.

    Parameters
    ----------
    config : PreprocessingConfig
        The config's `preprocessing` section.
    contract : Contract
        Says which features are numbers and which are categories.
    family : Family, default=SCALED
        How the classifier likes its features.
    seed : int, default=0
        Deals the rows to the folds in which a target encoding is learned.

    Returns
    -------
    preprocessor : ColumnTransformer
        Unfitted; from the frame of `ContractFeatures` to a dense float64 matrix: the numbers, where missing
        ones are (an option), the target-encoded categories, and last the other categories, each as a block
        of 0/1 columns (one for each that has enough rows, one for the rest) or as one column of codes.
    """
    steps: list[tuple[str, Any, list[str]]] = []
    if contract.numeric_features:
        steps.append(("numeric", _numbers(config, family), list(contract.numeric_features)))
    if config.missing_indicators and (nullable := nullable_features(contract)):
        steps.append(("missing", MissingIndicator(features="all"), nullable))
    if config.target_encoding:
        target = Pipeline(_target_encoded(config, family, seed))
        steps.append(("target", target, list(config.target_encoding)))
    if plain := [name for name in contract.category_features if name not in config.target_encoding]:
        steps.append(("category", _categories(config, family), plain))
    return ColumnTransformer(steps, sparse_threshold=0.0, verbose_feature_names_out=False)


def _numbers(config: PreprocessingConfig, family: Family) -> Any:
    match family.numbers:
        case "scaled":
            return Pipeline(_scaled(config))
        case "native":
            return UnscaledNumbers()
        case "float32":
            return Float32Numbers()


def _categories(config: PreprocessingConfig, family: Family) -> Any:
    match family.categories:
        case "one_hot":
            return Pipeline(_one_hot(config))
        case "sets":
            return CategoryCodes(config.min_category_rows, family.max_codes)
        case "ordered":
            return OrderedCategories(config.min_category_rows)


def nullable_features(contract: Contract) -> list[str]:
    """List the numeric features that may be missing: nullable columns and all formulas."""
    return [n for n in contract.numeric_features if n in contract.features or contract.columns[n].nullable]


def code_places(config: PreprocessingConfig, contract: Contract, family: Family) -> tuple[int, ...]:
    """Tell which columns of the matrix hold codes that are split into sets; none where there are no sets."""
    if family.categories != "sets":
        return ()
    n_indicators = len(nullable_features(contract)) if config.missing_indicators else 0
    start = len(contract.numeric_features) + n_indicators + len(config.target_encoding)
    n_codes = len(contract.category_features) - len(config.target_encoding)
    return tuple(range(start, start + n_codes))


def _scaled(config: PreprocessingConfig) -> list[tuple[str, Any]]:
    strategy = {"median": "median", "mean": "mean", "zero": "constant"}[config.numeric_imputer]
    fill = 0.0 if strategy == "constant" else None
    steps: list[tuple[str, Any]] = [
        ("impute", SimpleImputer(strategy=strategy, fill_value=fill, keep_empty_features=True))
    ]
    if config.outlier_factor is not None:
        steps.append(("clip", OutlierClipper(config.outlier_factor)))
    return [*steps, ("scale", StandardScaler())]


def _target_encoded(config: PreprocessingConfig, family: Family, seed: int) -> list[tuple[str, Any]]:
    folds = StratifiedKFold(_TARGET_ENCODING_FOLDS, shuffle=True, random_state=seed)
    steps: list[tuple[str, Any]] = [
        ("codes", CategoryCodes(config.min_category_rows)),
        ("encode", TargetEncoder(target_type="binary", cv=folds)),
    ]
    return [*steps, ("scale", StandardScaler())] if family.numbers == "scaled" else steps


def _one_hot(config: PreprocessingConfig) -> list[tuple[str, Any]]:
    # an empty text never is a category: it is null, in every source
    commonest = config.categorical_imputer == "most_frequent"
    imputer = SimpleImputer(
        missing_values=None,
        strategy="most_frequent" if commonest else "constant",
        fill_value=None if commonest else "",
        keep_empty_features=True,
    )
    encoder = OneHotEncoder(
        min_frequency=config.min_category_rows,
        handle_unknown="infrequent_if_exist",
    )
    return [("impute", imputer), ("encode", encoder)]
