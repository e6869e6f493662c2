from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from tabloop.drift import limits, operating_table
from tabloop.drift.history import DriftFollower, DriftHistory, HistoryFold
from tabloop.drift.reference import DriftReference
from tabloop.drift.scored_rows import ScoredRows
from tabloop.drift.window import DriftRows

ALL_WINDOWS = {
    (module, name): getattr(module, name)
    for module, name in (
        (operating_table, "_QUIET_WINDOWS"),
        (operating_table, "_SHIFTED_WINDOWS"),
        (limits, "_WINDOWS_PER_ALARM"),
        (limits, "_LEAST_WINDOWS"),
        (limits, "_MOST_DRAWN_ROWS"),
    )
}


@pytest.fixture(scope="module", autouse=True)
def all_drift_windows() -> Iterator[None]:
    """Take the windows that a run takes; the other rooms' tests do with fewer."""
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), n_windows in ALL_WINDOWS.items():
            patch.setattr(module, name, n_windows)
        yield


COUNTRIES = tuple(f"C{i:02}" for i in range(60))


class Population:
    """Rows without end: a bell, a long tail, mostly zeros, some nulls, many countries, and a score."""

    numeric_features = ("bell", "tail", "zeros", "holes")

    def draw(self, n: int, seed: int) -> dict[str, np.ndarray[Any, Any]]:
        rng = np.random.default_rng([seed, n])
        bell = rng.normal(50.0, 10.0, n)
        tail = np.exp(rng.normal(2.0, 1.5, n) + (bell - 50) / 20)  # features move together
        share = 1 / np.arange(1, len(COUNTRIES) + 1) ** 1.2
        return {
            "bell": bell,
            "tail": tail,
            "zeros": np.where(rng.random(n) < 0.9, 0.0, rng.poisson(2.0, n) + 1.0),
            "holes": np.where(rng.random(n) < 0.2, np.nan, rng.random(n)),
            "country": rng.choice(len(COUNTRIES), n, p=share / share.sum()),
            "probability": 1 / (1 + np.exp(-(bell - 70) / 10)),
        }

    def reference(self, n: int, seed: int = 0) -> DriftReference:
        drawn = self.draw(n, seed)
        words, codes = np.unique(np.array(COUNTRIES)[drawn["country"]], return_inverse=True)
        return DriftReference(
            numeric_features=self.numeric_features,
            category_features=("country",),
            numeric=np.column_stack([drawn[name] for name in self.numeric_features]),
            codes=codes[:, None].astype(np.int32),
            vocabulary=(tuple(words.tolist()),),
            y_true=(drawn["probability"] > 0.5).astype(np.int8),
            y_proba=drawn["probability"],
            training_rows=n,
        )

    def rows(self, reference: DriftReference, n: int, seed: int, **change: Callable[[Any], Any]) -> DriftRows:
        """A window, with what is to change changed."""
        drawn = self.draw(n, seed)
        names = np.array(COUNTRIES)[drawn["country"]].astype(object)
        if "country" in change:
            names = change.pop("country")(names)
        columns = {name: change.get(name, lambda v: v)(drawn[name]) for name in self.numeric_features}
        known = reference.vocabulary[0]
        new = sorted({w for w in names if w is not None} - set(known))
        place = {w: i for i, w in enumerate((*known, *new))} | {None: -1}
        probability = change.get("probability", lambda v: v)(drawn["probability"])
        return DriftRows(
            numeric=columns,
            codes={"country": np.array([place[w] for w in names], dtype=np.int32)},
            n_known={"country": len(known)},
            unseen={"country": tuple(new)},
            probability=probability,
            label=(probability > 0.5).astype(np.int8),
        )


@pytest.fixture(scope="session")
def population() -> Population:
    return Population()


@pytest.fixture(scope="session")
def reference(population: Population) -> DriftReference:
    return population.reference(4000)


def drift_of_rows(batches: Iterable[ScoredRows], follower: DriftFollower) -> DriftHistory:
    """Say what a monitor says that followed the rows as they came, in batches of any size."""
    fold = HistoryFold(follower)
    for batch in batches:
        fold.add_rows(batch)
    return fold.history()
