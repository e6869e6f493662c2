"""Whether a window's decisions are worse than those the model was released with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot

from tabloop.config.performance import PerformanceConfig
from tabloop.performance.figures import PerformanceFigure


@dataclass(frozen=True)
class FigureDrop:
    """One figure against the reference.

    Attributes
    ----------
    reference, value : float
        The reference's figure and the window's.
    drop : float
        The first less the second; negative where the window is better.
    drop_low : float
        Lower end of the drop's interval.
    degraded : bool
        Whether the drop is larger than the least that counts and its interval lies above 0.
    """

    reference: float
    value: float
    drop: float
    drop_low: float
    degraded: bool


@dataclass(frozen=True)
class DegradationDecision:
    """Whether decisions got worse, and by which figure.

    Attributes
    ----------
    degraded : bool
        Whether any watched figure is.
    drops : dict of str to FigureDrop
        Drops of the figures that both sides have, by figure.
    not_compared : tuple of str
        Watched figures that one side lacks: nothing is known of them.
    reason : str
        What degraded, in words; empty where nothing did.
    """

    degraded: bool
    drops: dict[str, FigureDrop]
    not_compared: tuple[str, ...]
    reason: str = ""


def decide_degradation(
    reference: Mapping[str, PerformanceFigure],
    window: Mapping[str, PerformanceFigure],
    config: PerformanceConfig,
) -> DegradationDecision:
    r"""Decide whether a window is worse than the reference, for estimated and for realized figures alike.

    Parameters
    ----------
    reference : mapping of str to PerformanceFigure
        Of the training rows, out-of-fold, as `measure_performance` gives them.
    window : mapping of str to PerformanceFigure
        `figures` of a realized performance, or `long_run` of an estimate. All intervals are at
        `config.confidence`.
    config : PerformanceConfig
        The config's `monitoring.performance` section.

    Returns
    -------
    decision : DegradationDecision

    Notes
    -----
    An alarm needs an effect and evidence: a million rows do not turn a trifle into one, and fifty do not turn
    noise into one. With the reference `r` in :math:`[l_r, u_r]` and the window `w` in :math:`[l_w, u_w]`, the
    drop is at least :math:`r - w - \sqrt{(r - l_r)^2 + (u_w - w)^2}` [1]_, wrong in about a fraction
    `(1 - confidence) / 2` of quiet windows: with three watched figures at most about 1.5% of them alarm at
    the defaults. `benchmarks/performance_estimation.py` counts.

    References
    ----------
    .. [1] R. G. Newcombe, "Interval Estimation for the Difference between Independent Proportions:
       Comparison of Eleven Methods", Statistics in Medicine 17, 1998.

    Examples
    --------
    >>> reference = {"precision": PerformanceFigure(0.93, 0.92, 0.94)}
    >>> window = {"precision": PerformanceFigure(0.80, 0.72, 0.87)}
    >>> decision = decide_degradation(reference, window, PerformanceConfig())
    >>> decision.degraded, decision.not_compared
    (True, ('recall', 'roc_auc'))
    >>> decision.reason
    'precision 0.800, 0.930 at release (at least 0.059 less)'
    """
    drops: dict[str, FigureDrop] = {}
    for metric in config.watched:
        if metric in reference and metric in window:
            held, figure = reference[metric], window[metric]
            drop = held.value - figure.value
            low = drop - hypot(held.value - held.low, figure.high - figure.value)
            drops[metric] = FigureDrop(
                reference=held.value,
                value=figure.value,
                drop=drop,
                drop_low=low,
                degraded=drop > config.least_drop and low > 0.0,
            )
    degraded = [
        f"{metric} {drop.value:.3f}, {drop.reference:.3f} at release (at least {drop.drop_low:.3f} less)"
        for metric, drop in drops.items()
        if drop.degraded
    ]
    return DegradationDecision(
        degraded=bool(degraded),
        drops=drops,
        not_compared=tuple(metric for metric in config.watched if metric not in drops),
        reason="; ".join(degraded),
    )
