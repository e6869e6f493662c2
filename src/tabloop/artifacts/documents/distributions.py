"""What `distributions.json` holds: what the rows of a run look like, and which were refused."""

from __future__ import annotations

import msgspec

from tabloop.artifacts.documents.document import FORMAT_VERSION


class NumericDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """One numeric column of the accepted rows.

    Attributes
    ----------
    column : str
        The column; a timestamp counts seconds since 1970.
    missing_rows : int
        Rows without a value.
    minimum, median, maximum : float or None
        None where no row has a value.
    edges : tuple of float
        Of bins of equal width between the 1st and the 99th percentile; empty where there is one value.
    negative_rows, positive_rows : tuple of int
        By bin and class; what lies beyond an end counts in its bin.
    below_rows, above_rows : int
        Rows beyond the ends.
    """

    column: str
    missing_rows: int
    minimum: float | None
    median: float | None
    maximum: float | None
    edges: tuple[float, ...]
    negative_rows: tuple[int, ...]
    positive_rows: tuple[int, ...]
    below_rows: int
    above_rows: int


class CategoryCount(msgspec.Struct, frozen=True, kw_only=True):
    """One value: its rows, those of them that are positive, and a 95% interval of their rate."""

    value: str
    rows: int
    positive_rows: int
    interval: tuple[float, float]


class CategoryDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """One category or truth value of the accepted rows: the commonest values, and what they leave out."""

    column: str
    missing_rows: int
    distinct: int
    commonest: tuple[CategoryCount, ...]
    other_rows: int


class RefusalCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows were refused for one reason, with an example in words; a row may count twice."""

    reason: str
    rows: int
    example: str


class Distributions(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of a run look like.

    Attributes
    ----------
    rows, positive_rows : int
        Accepted, training and test part together.
    numeric, categories : tuple
        One for each column of the contract, in its order; texts are left out.
    refused_rows, described_refused_rows : int
        Rows in quarantine, and how many of them are written down.
    refusals : tuple of RefusalCount
        Over the rows written down, the commonest first.
    """

    rows: int
    positive_rows: int
    numeric: tuple[NumericDistribution, ...]
    categories: tuple[CategoryDistribution, ...]
    refused_rows: int
    described_refused_rows: int
    refusals: tuple[RefusalCount, ...]
    format_version: int = FORMAT_VERSION
