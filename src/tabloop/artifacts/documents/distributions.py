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
    training_rows, test_rows : tuple of int
        By bin and part; empty where an older version described the rows.
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
    training_rows: tuple[int, ...] = ()
    test_rows: tuple[int, ...] = ()


class CategoryCount(msgspec.Struct, frozen=True, kw_only=True):
    """One value: its rows, those of them that are positive, and a 95% interval of their rate.

    Attributes
    ----------
    value : str
        The value.
    rows, positive_rows : int
        Training and test part together.
    interval : (float, float)
        95%, of the rate of positives.
    test_rows : int or None
        Those of the test part; None where an older version described the rows.
    """

    value: str
    rows: int
    positive_rows: int
    interval: tuple[float, float]
    test_rows: int | None = None


class CategoryDistribution(msgspec.Struct, frozen=True, kw_only=True):
    """One category or truth value of the accepted rows: the commonest values, and what they leave out."""

    column: str
    missing_rows: int
    distinct: int
    commonest: tuple[CategoryCount, ...]
    other_rows: int


class RefusalCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows were refused for one reason, with an example in words; a row may count twice.

    Attributes
    ----------
    reason : str
        The reason, with the column before it.
    rows : int
        The number of these rows among those that are written down.
    example : str
        The first of them; what was got is shortened.
    column : str
        Whose clause was broken; empty where an older version counted.
    """

    reason: str
    rows: int
    example: str
    column: str = ""


class Distributions(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of a run look like.

    Attributes
    ----------
    rows, positive_rows : int
        Accepted, training and test part together.
    test_rows : int or None
        Those of the test part; None where an older version described the rows.
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
    test_rows: int | None = None
    format_version: int = FORMAT_VERSION
