"""The steps before the classifier: formulas, imputers, clipping, scaling, grouped categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray


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


def build_preprocessor(config: PreprocessingConfig, contract: Contract) -> ColumnTransformer:
    """Build the steps that are learned from the training rows.

    Parameters
    ----------
    config : PreprocessingConfig
        The config's `preprocessing` section.
    contract : Contract
        Says which features are numbers and which are categories.

    Returns
    -------
    preprocessor : ColumnTransformer
        Unfitted; from the frame of `ContractFeatures` to a dense float64 matrix, the scaled numbers
        first, then one column for each category that has enough rows and one for the rest.
    """
    steps = []
    if contract.numeric_features:
        strategy = {"median": "median", "mean": "mean", "zero": "constant"}[config.numeric_imputer]
        fill = 0.0 if strategy == "constant" else None
        numeric = [("impute", SimpleImputer(strategy=strategy, fill_value=fill, keep_empty_features=True))]
        if config.outlier_factor is not None:
            numeric.append(("clip", OutlierClipper(config.outlier_factor)))
        numeric.append(("scale", StandardScaler()))
        steps.append(("numeric", Pipeline(numeric), list(contract.numeric_features)))
    if contract.category_features:
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
        category = Pipeline([("impute", imputer), ("encode", encoder)])
        steps.append(("category", category, list(contract.category_features)))
    return ColumnTransformer(steps, sparse_threshold=0.0, verbose_feature_names_out=False)
