"""Decide what a quantised graph is good for: applied, no gain, or out of tolerance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabloop.artifacts.documents.benchmark import Figure
from tabloop.artifacts.documents.graphs import ParityReport
from tabloop.artifacts.documents.quantize import (
    GainsAndLosses,
    LatencyComparison,
    QuantizeFigures,
    QuantizeStatus,
    QuantizeVerdict,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: A gain smaller than this share is none.
LEAST_GAIN = 0.05


def gains_and_losses(
    sizes: Mapping[str, int], latency: Sequence[LatencyComparison], rival: str
) -> GainsAndLosses:
    """Say in what a quantised graph is clearly better than a rival, and in what clearly worse.

    Parameters
    ----------
    sizes : mapping of str to int
        Bytes by graph, as in `QuantizeFigures`.
    latency : sequence of LatencyComparison
        The latencies, a comparison for each batch size.
    rival : str
        The name of the other graph.

    Returns
    -------
    found : GainsAndLosses
        What differs by a twentieth or more, for latencies at both ends of the interval.
    """
    gains, losses = [], []
    shrunk = sizes[rival] / sizes["int8"]
    ratios = {f"latency_{each.batch_size}": getattr(each, f"speedup_over_{rival}") for each in latency}
    for name, ratio in ({"bytes": Figure(shrunk, shrunk, shrunk)} | ratios).items():
        if ratio.low >= 1 + LEAST_GAIN:
            gains.append(name)
        elif ratio.high <= 1 / (1 + LEAST_GAIN):
            losses.append(name)
    return GainsAndLosses(tuple(gains), tuple(losses))


def judge(measured: QuantizeFigures, parity: ParityReport, rivals: tuple[str, ...]) -> QuantizeVerdict:
    """Decide what a quantised graph is good for.

    Parameters
    ----------
    measured : QuantizeFigures
        The figures that `measure` gave.
    parity : ParityReport
        The parity of the quantised graph and the pipeline on test rows.
    rivals : tuple of str
        The served graph first.

    Returns
    -------
    verdict : QuantizeVerdict

    Notes
    -----
    A gain has to be one over every rival: what float32 alone brings is no merit of 8 bits.
    """
    compared = {rival: gains_and_losses(measured.bytes, measured.latency, rival) for rival in rivals}
    over_served = compared[rivals[0]]
    shared = tuple(g for g in over_served.gains if all(g in each.gains for each in compared.values()))
    status: QuantizeStatus
    if not shared:
        status = "no_gain"
        reason = "neither smaller nor faster by a twentieth than the served graph"
        if over_served.gains:
            reason = (
                f"better than the served graph in {', '.join(over_served.gains)}, but float32 without "
                "any 8-bit number brings the same"
            )
    elif not parity.passed:
        status = "out_of_tolerance"
        reason = _failure(parity)
    else:
        status = "applied"
        reason = f"better in {', '.join(shared)}"
        if over_served.losses:
            reason += f", worse in {', '.join(over_served.losses)}"
    return QuantizeVerdict(
        status=status,
        reason=reason,
        gains=shared,
        losses=over_served.losses,
        within_tolerance=parity.passed,
        compared=compared,
    )


def _failure(parity: ParityReport) -> str:
    problems = []
    if parity.invalid_probabilities:
        problems.append(f"{parity.invalid_probabilities} answers are no probabilities")
    if parity.max_abs_diff > parity.abs_tol:
        problems.append(f"largest difference {parity.max_abs_diff:.4f}, tolerated {parity.abs_tol:g}")
    if parity.mean_abs_diff > parity.mean_tol:
        problems.append(f"mean difference {parity.mean_abs_diff:.4f}, tolerated {parity.mean_tol:g}")
    if parity.decision_flips and not parity.allow_flips:
        problems.append(f"{parity.decision_flips} of {parity.samples} decisions flipped")
    return "; ".join(problems) or f"{parity.excused_ties} rows are ties: too many to judge"
