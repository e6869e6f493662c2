"""How often a kept promise is called refuted over a run's life, and how soon a broken one is.

    python benchmarks/promise_monitoring.py --runs 1000

Each run lives for `--windows` windows of `--rows` labelled predictions, a tenth of them decided positive, and
is looked at twenty times a window. The plain way, for comparison, is Clopper and Pearson's bound at the same
confidence on all rows at each look.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from tabloop.performance.promise import DecisionCounts, decide_promise

TARGET, CONFIDENCE = 0.9, 0.95
_DECIDED_FRACTION = 0.1


@dataclass(frozen=True)
class Life:
    """What happens to the precision: `before` until window `turn`, `after` from then on."""

    name: str
    before: float
    after: float
    turn: int = 0


LIVES = (
    Life("kept, just as promised", 0.90, 0.90),
    Life("kept, 0.92", 0.92, 0.92),
    Life("0.88 from the start", 0.88, 0.88),
    Life("0.85 from the start", 0.85, 0.85),
    Life("0.80 from the start", 0.80, 0.80),
    Life("0.93 for 25 windows, then 0.80", 0.93, 0.80, 25),
    Life("0.93 for 25 windows, then 0.60", 0.93, 0.60, 25),
)


def first_refusals(life: Life, windows: int, rows: int, rng: np.random.Generator) -> tuple[int, int]:
    """Give the positive decisions with outcome after which each way says refuted; -1 for never."""
    a_window = int(rows * _DECIDED_FRACTION)
    step = max(1, a_window // 20)
    rate = np.where(np.arange(windows * a_window) < life.turn * a_window, life.before, life.after)
    hit = np.concatenate([[0], np.cumsum(rng.random(windows * a_window) < rate)])
    seen = np.arange(step, windows * a_window + 1, step)
    upper = beta.ppf(CONFIDENCE, hit[seen] + 1, seen - hit[seen])
    plain = np.flatnonzero(upper < TARGET)
    ours = -1
    for n in seen.tolist():
        full = n // a_window
        window = None
        if full:
            hits = int(hit[full * a_window] - hit[(full - 1) * a_window])
            window = DecisionCounts(rows, hits + rows // 50, a_window, hits)
        labelled = int(n / _DECIDED_FRACTION)
        counts = DecisionCounts(labelled, int(hit[n]) + max(1, labelled // 50), n, int(hit[n]))
        decision = decide_promise(counts, window, full, target_precision=TARGET, confidence=CONFIDENCE)
        if decision.verdict == "refuted":
            ours = n
            break
    return ours, int(seen[plain[0]]) if len(plain) else -1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--windows", type=int, default=50)
    parser.add_argument("--rows", type=int, default=1000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print("| precision | refuted | decisions until then, median | plain bound at every look |")
    print("|---|---|---|---|")
    for life in LIVES:
        found = np.array(
            [first_refusals(life, options.windows, options.rows, rng) for _ in range(options.runs)]
        )
        ours, plain = found[:, 0], found[:, 1]
        after = ours[ours >= 0] - life.turn * int(options.rows * _DECIDED_FRACTION)
        median = f"{np.median(after):,.0f}" if len(after) else "-"
        print(f"| {life.name} | {np.mean(ours >= 0):.1%} | {median} | {np.mean(plain >= 0):.1%} |")


if __name__ == "__main__":
    main()
