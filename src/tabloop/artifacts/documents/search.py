"""What `search.json` holds: every trial of a search, and the settings that it found."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tabloop.artifacts.documents.document import FORMAT_VERSION

#: What a setting of a candidate may be.
SettingValue = str | int | float | bool | list[Any] | dict[Any, Any] | None
Settings = dict[str, SettingValue]
TrialState = Literal["complete", "pruned", "failed", "unfinished"]


class SearchTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One set of settings that was tried.

    Attributes
    ----------
    number : int
        From 0, in the order in which they were asked for.
    candidate : str
        The candidate's name.
    settings : dict of str to value
        What was tried; empty for the candidate as configured.
    state : {"complete", "pruned", "failed", "unfinished"}
        Pruned: given up after a fold in which it did worse than half of those before. Unfinished: the
        seconds were over.
    fold_values : tuple of float
        The figure of `rank_by` on each fold that was scored.
    value : float or None
        Their mean, where all folds were scored.
    fit_s : float
        Wall seconds of its fits and scorings.
    failure : str or None
        Why it failed, if it did.
    """

    number: int
    candidate: str
    settings: Settings
    state: TrialState
    fold_values: tuple[float, ...]
    value: float | None
    fit_s: float
    failure: str | None = None


class FoundSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The best trial of one candidate.

    Attributes
    ----------
    candidate : str
        The candidate's name.
    trial : int or None
        Its number; None where no trial of the candidate was finished.
    settings : dict of str to value
        What differs from the candidate as configured.
    value : float or None
        The figure of `rank_by` that chose it, on the rows of the search: the best of many, so too good.
    trials : int
        How many trials the candidate had.
    """

    candidate: str
    trial: int | None
    settings: Settings
    value: float | None
    trials: int


class SearchReport(msgspec.Struct, frozen=True, kw_only=True):
    """A search for better settings.

    Attributes
    ----------
    rank_by : str
        The figure that was searched for.
    folds, held_back_folds : int
        The first folds of the training part were searched on; the rows of the others were held back for the
        threshold.
    search_rows, held_back_rows : int
        Rows of these.
    ended_by : {"trials", "seconds"}
        What ended it.
    took_s : float
        Seconds of searching, of all its starts together.
    found : tuple of FoundSettings
        By candidate, in the order of the config.
    trials : tuple of SearchTrial
        In the order of their numbers.
    resumed_trials : int
        Trials of which an earlier, interrupted start had scored folds.
    sampler : str
        The library and the method that proposed the settings.
    """

    rank_by: str
    folds: int
    held_back_folds: int
    search_rows: int
    held_back_rows: int
    ended_by: Literal["trials", "seconds"]
    took_s: float
    found: tuple[FoundSettings, ...]
    trials: tuple[SearchTrial, ...]
    resumed_trials: int
    sampler: str
    format_version: int = FORMAT_VERSION

    def found_for(self, candidate: str) -> FoundSettings | None:
        """Give what was found for a candidate; None where it is none of the search's."""
        return next((each for each in self.found if each.candidate == candidate), None)
