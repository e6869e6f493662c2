"""What the windowed tests say: one line for each feature and each way to look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tabloop.drift.cells import Statistic

ShareName = Literal["missing", "unseen", "outside"]


@dataclass(frozen=True)
class FeatureTest:
    """One feature, looked at in one way.

    Attributes
    ----------
    feature : str
        Its name; `predicted_probability` for what the model said.
    segment : str or None
        The rows it was looked at in, such as `country = DE`; None for all.
    statistic : str
        `rank`, `value`, `shares` or `category`, see `drift_cells`; `missing`, `unseen` (a category that no
        training row has) or `outside` (a number below or above all of them), see `share_test`.
    effect : float
        How far the window is from the reference, in standard deviations of the reference, for `shares` as a
        fraction of the rows.
    limit : float
        The effect that raises an alarm in a window of this size: what quiet windows hardly ever reach, and
        `monitoring.least_effect` at least. For shares the least effect; the p-value decides.
    p_value : float
        How often a quiet window shows *anything* as extreme, at most; it is adjusted for all that is tested.
    alarmed : bool
        Whether the limit is reached and the p-value is within the budget.
    words : str
        A sentence that says what moved, from where to where.
    """

    feature: str
    segment: str | None
    statistic: Statistic | ShareName
    effect: float
    limit: float
    p_value: float
    alarmed: bool
    words: str


@dataclass(frozen=True)
class WindowedDriftReport:
    """What the windowed tests say of a window.

    Attributes
    ----------
    tests : tuple of FeatureTest
        All of them, each feature in each way; none in a window of fewer than `drift_min_samples` rows.
    """

    tests: tuple[FeatureTest, ...]

    @property
    def alarms(self) -> tuple[FeatureTest, ...]:
        """The alarmed features, each with its clearest test, the largest effect first."""
        strongest: dict[tuple[str | None, str], FeatureTest] = {}
        for test in sorted((t for t in self.tests if t.alarmed), key=lambda t: -t.effect):
            strongest.setdefault((test.segment, test.feature), test)
        return tuple(strongest.values())

    @property
    def alarmed(self) -> bool:
        """Whether any test alarmed."""
        return any(test.alarmed for test in self.tests)
