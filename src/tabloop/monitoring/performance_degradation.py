"""Whether a window's decisions are worse than those the model was released with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tabloop.config.performance import PerformanceConfig
from tabloop.monitoring.performance_figures import PerformanceFigure


@dataclass(frozen=True)
class FigureDrop:
    """One figure against the reference.

    Attributes
    ----------
    reference, value, low, high : float
        The reference's figure, the window's, and the window's interval.
    drop : float
        The first less the second; negative where the window is better.
    degraded : bool
        Whether the drop is larger than the least that counts and the interval lies below the reference.
    """

    reference: float
    value: float
    low: float
    high: float
    drop: float
    degraded: bool


@dataclass(frozen=True)
class DegradationDecision:
    """Whether decisions got worse, and by which figure.

    Attributes
    ----------
    degraded : bool
        Whether any watched figure is.
    drops : dict of str to FigureDrop
        By figure, those that both sides have.
    not_compared : tuple of str
        Watched figures that one side lacks: nothing is known of them.
    """

    degraded: bool
    drops: dict[str, FigureDrop]
    not_compared: tuple[str, ...]

    @property
    def reason(self) -> str:
        """What degraded, in words; empty where nothing did."""
        return "; ".join(
            f"{metric} {drop.value:.3f} ({drop.low:.3f} to {drop.high:.3f}), {drop.reference:.3f} at release"
            for metric, drop in self.drops.items()
            if drop.degraded
        )

    def to_dict(self) -> dict[str, Any]:
        """Describe the decision as plain JSON values."""
        return asdict(self) | {"not_compared": list(self.not_compared), "reason": self.reason}


def decide_degradation(
    reference: Mapping[str, PerformanceFigure],
    window: Mapping[str, PerformanceFigure],
    config: PerformanceConfig,
) -> DegradationDecision:
    """Decide whether a window is worse than the reference, for estimated and for realized figures alike.

    Parameters
    ----------
    reference : mapping of str to PerformanceFigure
        Of the training rows, out-of-fold.
    window : mapping of str to PerformanceFigure
        With intervals at `config.confidence`.
    config : PerformanceConfig
        The config's `monitoring.performance` section.

    Returns
    -------
    decision : DegradationDecision

    Notes
    -----
    An alarm needs an effect and evidence: a million rows do not turn a trifle into one, and fifty do not turn
    noise into one. A realized figure's interval lies below the reference in a fraction `(1 - confidence) / 2`
    of quiet windows, or less where it is exact, so with three watched figures at most about 1.5% of them
    alarm at the defaults. Estimated figures do so less: their interval holds the noise of labels that the
    estimate does not have. `benchmarks/performance_estimation.py` counts both.

    Examples
    --------
    >>> reference = {"precision": PerformanceFigure(0.93, 0.92, 0.94)}
    >>> window = {"precision": PerformanceFigure(0.80, 0.72, 0.87)}
    >>> decision = decide_degradation(reference, window, PerformanceConfig())
    >>> decision.degraded, decision.not_compared
    (True, ('recall', 'roc_auc'))
    >>> decision.reason
    'precision 0.800 (0.720 to 0.870), 0.930 at release'
    """
    drops: dict[str, FigureDrop] = {}
    for metric in config.watched:
        if metric in reference and metric in window:
            held, figure = reference[metric].value, window[metric]
            drop = held - figure.value
            drops[metric] = FigureDrop(
                reference=held,
                value=figure.value,
                low=figure.low,
                high=figure.high,
                drop=drop,
                degraded=drop > config.least_drop and figure.high < held,
            )
    return DegradationDecision(
        degraded=any(drop.degraded for drop in drops.values()),
        drops=drops,
        not_compared=tuple(metric for metric in config.watched if metric not in drops),
    )
