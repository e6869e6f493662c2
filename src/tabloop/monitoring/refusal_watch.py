"""A surge of refused records: an alarm of its own, since what is refused never reaches the drift window."""

from __future__ import annotations

from dataclasses import dataclass

from tabloop.statistics.special import special


@dataclass(frozen=True)
class RefusalReport:
    """What became of the latest records that were asked about.

    Attributes
    ----------
    records, refused_records : int
        Asked about, and refused by the contract.
    p_value : float
        How often so many are refused where no more than the tolerable fraction break the contract.
    alarmed : bool
        Whether that is below the level of the test.
    """

    records: int
    refused_records: int
    p_value: float
    alarmed: bool

    @property
    def words(self) -> str:
        """The report in a sentence."""
        return f"{self.refused_records} of the latest {self.records} records break the contract"


class RefusalWatch:
    """Tests consecutive windows of records, each as soon as it is large enough to say something.

    Parameters
    ----------
    max_fraction : float
        The tolerable fraction of refused records, in [0, 1).
    level : float
        How often a window may alarm where the fraction is at its limit, in (0, 1).
    min_records : int
        Least records of a window.
    window_records : int
        The number of records in a window.

    Notes
    -----
    A window is looked at whenever at least `min_records` have come since the last look, `window_records /
    min_records` times at most; each look is an exact binomial test at `level` divided by that number
    (Bonferroni), so a whole window keeps the level.

    Examples
    --------
    >>> watch = RefusalWatch(max_fraction=0.05, level=0.01, min_records=50, window_records=1000)
    >>> watch.update(40, 1), watch.update(30, 25).alarmed
    (None, True)
    """

    def __init__(self, *, max_fraction: float, level: float, min_records: int, window_records: int) -> None:
        self._max_fraction = max_fraction
        self._level = level / max(1, -(-window_records // min_records))
        self._min_records = min_records
        self._window_records = window_records
        self._records = self._refused = self._looked_at = 0
        self.latest: RefusalReport | None = None

    def update(self, records: int, refused_records: int) -> RefusalReport | None:
        """Take in further records; give the report of a look, None where there are too few for one."""
        self._records += records
        self._refused += refused_records
        if self._records - self._looked_at < self._min_records:
            return None
        self._looked_at = self._records
        # the probability that a binomial number is at least so large
        p_value = (
            float(special().betainc(self._refused, self._records - self._refused + 1, self._max_fraction))
            if self._refused
            else 1.0
        )
        self.latest = RefusalReport(self._records, self._refused, p_value, p_value <= self._level)
        if self._records >= self._window_records:
            self._records = self._refused = self._looked_at = 0
        return self.latest
