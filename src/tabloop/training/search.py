"""Search better settings of the candidates on a part of the training rows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

import tabloop
from tabloop.artifacts.documents.search import FoundSettings, SearchReport, SearchTrial, Settings, TrialState
from tabloop.artifacts.files import sha256_of_bytes, sha256_of_file
from tabloop.artifacts.temporary import scratch_folder
from tabloop.config.config import Config
from tabloop.config.search import SearchConfig, with_values
from tabloop.config.training import Candidate, EstimatorCandidate, RankBy
from tabloop.contract.contract import Contract
from tabloop.errors import TrainingError
from tabloop.progress import PoolState
from tabloop.training.calibration import fit_sigmoid
from tabloop.training.candidates import libraries_of
from tabloop.training.folds import Folds
from tabloop.training.pool import Watcher, run_tasks
from tabloop.training.search_journal import FoldScore, SearchJournal, open_journal
from tabloop.training.search_space import CANDIDATE, distribution_of, drawn_for, propose_value, spaces_of
from tabloop.training.task import Task, TaskOutcome, Workbench

if TYPE_CHECKING:
    import optuna
    import polars as pl
    from numpy.typing import NDArray
    from optuna.distributions import BaseDistribution

#: So many trials are proposed at once, whatever the number of workers: none knows what came of the others.
BATCH_TRIALS = 8
#: The part of the folds, about, whose rows no trial sees.
HELD_BACK = 0.4

_PRUNE_AFTER_TRIALS = 5


def held_back_folds(n_splits: int) -> int:
    """Tell how many of the folds, the last ones, a search leaves to the threshold.

    Examples
    --------
    >>> [held_back_folds(n) for n in (3, 4, 5, 10)]
    [1, 2, 2, 4]
    """
    return max(1, round(HELD_BACK * n_splits))


def held_back_rows(folds: Folds) -> NDArray[np.bool_]:
    """Tell which training rows no trial of a search sees: those of the last folds, by time the latest."""
    return np.asarray(folds.of_row >= folds.n_splits - held_back_folds(folds.n_splits))


def search_settings(
    config: Config,
    contract: Contract,
    candidates: Mapping[str, Candidate],
    features: pl.DataFrame,
    y: NDArray[np.int8],
    folds: Folds,
    *,
    weights: NDArray[np.float64] | None = None,
    limit_s: float | None = None,
    model_dir: Path | None = None,
    watch: Watcher | None = None,
) -> tuple[SearchReport, SearchJournal]:
    """Search better settings of the candidates, without looking at the rows of the last folds.

    Parameters
    ----------
    config, contract : Config, Contract
        The configuration, with `training.search`, and the contract of the columns.
    candidates : mapping of str to Candidate
        The candidates as configured.
    features : polars.DataFrame with n_train rows
        The training rows as the models see them.
    y : ndarray of shape (n_train,)
        Their targets.
    folds : Folds
        Their folds.
    limit_s : float, optional
        Seconds that are left for it; `training.search.seconds` may be fewer.
    weights : ndarray of float64, shape (n_train,), optional
        How much each row counts.
    model_dir : pathlib.Path, optional
        The artifact folder, where a search that is interrupted leaves what it has scored, for the next one of
        the same rows and settings to go on with. By default nothing is kept.
    watch : callable, optional
        Told what is running and what is left.

    Returns
    -------
    report : SearchReport
        Where `trials` ended it, the same on any number of workers and however often it was interrupted.
        How many trials fit into `seconds` depends on the machine.
    journal : SearchJournal
        What an interrupted training begins with; to be removed once a run holds the report.

    Raises
    ------
    TrainingError
        If no trial was finished.
    ArtifactError
        If another process is at the same search.

    Notes
    -----
    Each candidate is tried as configured, then trials are proposed in batches of eight by the
    tree-structured Parzen estimator [1]_ of Optuna, seeded anew for each batch: what is proposed depends on
    the batches before alone, not on what is done first. A trial is scored fold by fold and given up where
    its mean so far is worse than the median of the trials that earlier batches completed.

    References
    ----------
    .. [1] J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl, "Algorithms for Hyper-Parameter Optimization",
       NeurIPS 2011.
    """
    search = config.training.search
    assert search is not None  # noqa: S101 - the caller asked for it
    limits = [seconds for seconds in (search.seconds, limit_s) if seconds is not None]
    seen = ~held_back_rows(folds)
    n_folds = folds.n_splits - held_back_folds(folds.n_splits)
    seen_folds = Folds(folds.of_row[seen], n_folds, forward=folds.forward)
    with scratch_folder("search") as folder:
        bench = Workbench(folder, contract, config.preprocessing, config.seed)
        weights = None if weights is None else weights[seen]
        bench.lay_out(features.filter(seen), y[seen], seen_folds, weights)
        with open_journal(model_dir, _parts(config, contract, candidates, bench, seen_folds)) as journal:
            study = _Study(
                config, candidates, y[seen], seen_folds, journal, min(limits, default=None), watch, weights
            )
            tasks = study.begin()
            if tasks:
                run_tasks(
                    bench,
                    tasks,
                    workers=config.training.workers,
                    n_rows=int(seen.sum()),
                    n_features=features.width,
                    watch=study.tell_progress,
                    follow=study.follow,
                    until=study.until,
                )
            report = study.report(held_back=int((~seen).sum()))
            if not any(each.trial is not None for each in report.found):
                reasons = {trial.failure for trial in report.trials if trial.failure} or {
                    f"the time was up after {report.took_s:.0f} s; give it more seconds or quicker candidates"
                }
                raise TrainingError(
                    f"no trial of training.search was finished: {'; '.join(sorted(reasons))[:500]}"
                )
    return report, journal


def apply_found(candidates: Mapping[str, Candidate], report: SearchReport) -> dict[str, Candidate]:
    """Give the candidates with the settings that a search found."""
    found = {each.candidate: each.settings for each in report.found}
    return {name: with_values(each, found.get(name, {})) for name, each in candidates.items()}


def _parts(
    config: Config,
    contract: Contract,
    candidates: Mapping[str, Candidate],
    bench: Workbench,
    folds: Folds,
) -> Mapping[str, object]:
    """List what decides what a trial comes to."""
    search = config.training.search
    assert search is not None  # noqa: S101 - the caller asked for it
    foreign = libraries_of(candidates.values())
    # the records of every installed file are read for it
    distributions = packages_distributions() if foreign else {}
    libraries = {name for library in foreign for name in distributions.get(library, ())}
    return {
        "the rows": [
            *(
                sha256_of_file(bench.folder / name)
                for name in ("features.arrow", "y.npy", "weights.npy")
                if (bench.folder / name).exists()
            ),
            sha256_of_bytes(folds.of_row.tobytes()),
            folds.forward,
        ],
        "contract": contract.to_dict(),
        "preprocessing": config.preprocessing.model_dump(mode="json"),
        "training.candidates": {
            name: candidate.model_dump(mode="json") for name, candidate in candidates.items()
        },
        "training.search": search.model_dump(mode="json", exclude={"trials", "seconds"}),
        "training.rank_by": config.training.rank_by,
        "seed": config.seed,
        "versions": {
            "tabloop": tabloop.__version__,
            **{name: version(name) for name in sorted({"optuna", "scikit-learn", *libraries})},
        },
    }


@dataclass
class _Trial:
    """One trial under way, or ended."""

    number: int
    name: str
    candidate: Candidate
    settings: Settings
    proposal: optuna.Trial | None = None
    scores: list[FoldScore] = field(default_factory=list)
    state: TrialState = "unfinished"
    is_resumed: bool = False

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(score.value for score in self.scores if score.value is not None)

    @property
    def value(self) -> float | None:
        return float(np.mean(self.values)) if self.state == "complete" else None

    def describe(self) -> SearchTrial:
        return SearchTrial(
            number=self.number,
            candidate=self.name,
            settings=self.settings,
            state=self.state,
            fold_values=self.values,
            value=self.value,
            fit_s=sum(score.fit_s for score in self.scores),
            failure=next((score.failure for score in self.scores if score.failure), None),
        )


class _Study:
    """Proposes trials in batches, scores them fold by fold, and knows the best."""

    def __init__(
        self,
        config: Config,
        candidates: Mapping[str, Candidate],
        y: NDArray[np.int8],
        folds: Folds,
        journal: SearchJournal,
        limit_s: float | None,
        watch: Watcher | None,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        import optuna

        search = config.training.search
        assert search is not None  # noqa: S101 - the caller asked for it
        self._search: SearchConfig = search
        self._rank_by: RankBy = config.training.rank_by
        self._seed = config.seed
        self._candidates = candidates
        self._spaces = spaces_of(search, candidates)
        self._y, self._folds, self._n_folds = y, folds, folds.n_splits
        self._n_splits = config.cv.n_splits
        self._weights = weights
        self._journal, self._watch = journal, watch
        self._begun = time.monotonic()
        self._limit_s = limit_s
        self._trials: list[_Trial] = []
        self._batch: list[_Trial] = []
        self._notice = journal.notice
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            direction="minimize" if self._rank_by == "brier_score" else "maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_PRUNE_AFTER_TRIALS),
        )

    @property
    def until(self) -> float | None:
        """When `time.monotonic` says that the time is up."""
        if self._limit_s is None:
            return None
        return self._begun + self._limit_s - self._journal.elapsed_s

    @property
    def _elapsed_s(self) -> float:
        return self._journal.elapsed_s + time.monotonic() - self._begun

    def begin(self) -> list[Task]:
        """Give the first tasks that no earlier start has done."""
        self._batch = [
            _Trial(number, name, candidate, {})
            for number, (name, candidate) in enumerate(
                (name, candidate)
                for name, candidate in self._candidates.items()
                if name in self._spaces
                or not (isinstance(candidate, EstimatorCandidate) and candidate.report_only)
            )
        ]
        self._trials += self._batch
        return self._go_on(self._batch)

    def follow(self, outcome: TaskOutcome) -> list[Task]:
        """Note what came of a fold; give what is to be done next."""
        trial = next(each for each in self._batch if self._name(each) == outcome.task.name)
        fold = len(trial.scores)
        score = self._score(outcome, fold)
        self._journal.note(trial.number, fold, trial.settings, score, self._elapsed_s)
        self._add(trial, score)
        return self._go_on([trial])

    def _go_on(self, trials: list[_Trial]) -> list[Task]:
        """Give the next fold of each trial; where the whole batch has ended, those of the next one."""
        tasks = [task for trial in trials if (task := self._next_fold(trial)) is not None]
        while not tasks and all(trial.state != "unfinished" for trial in self._batch):
            self._tell()
            self._batch = self._propose()
            if not self._batch:
                break
            tasks = [task for trial in self._batch if (task := self._next_fold(trial)) is not None]
        return tasks

    def _next_fold(self, trial: _Trial) -> Task | None:
        while trial.state == "unfinished":
            fold = len(trial.scores)
            known = self._journal.find(trial.number, fold, trial.settings)
            if known is None:
                rows = int(self._folds.fitted_on(fold).sum())
                return Task(self._name(trial), trial.candidate, fold, rows=rows)
            trial.is_resumed = True
            self._add(trial, known)
        return None

    def _add(self, trial: _Trial, score: FoldScore) -> None:
        trial.scores.append(score)
        if score.value is None:
            trial.state = "failed"
        elif len(trial.scores) == self._n_folds:
            trial.state = "complete"
        elif trial.proposal is not None:  # a candidate as configured is never given up
            trial.proposal.report(float(np.mean(trial.values)), len(trial.scores))
            if trial.proposal.should_prune():
                trial.state = "pruned"

    def _score(self, outcome: TaskOutcome, fold: int) -> FoldScore:
        took = outcome.fit_s + outcome.score_s
        if outcome.failure is not None or outcome.scores is None:
            return FoldScore(None, took, outcome.failure or "no scores")
        held_out = self._folds.held_out(fold)
        y, scores = self._y[held_out], outcome.scores
        weights = None if self._weights is None else self._weights[held_out]
        match self._rank_by:
            case "roc_auc":
                value = roc_auc_score(y, scores, sample_weight=weights)
            case "average_precision":
                value = average_precision_score(y, scores, sample_weight=weights)
            case "brier_score":
                proba = scores if outcome.are_probabilities else fit_sigmoid(scores, y, weights)(scores)
                value = brier_score_loss(y, proba, sample_weight=weights)
        return FoldScore(float(value), took)

    def _tell(self) -> None:
        """Let the study know the batch, in the order of its numbers: whichever was done first."""
        from optuna.trial import TrialState as State
        from optuna.trial import create_trial

        for trial in self._batch:
            if trial.proposal is not None:
                if trial.value is not None:
                    self._study.tell(trial.proposal, trial.value)
                else:
                    state = State.PRUNED if trial.state == "pruned" else State.FAIL
                    self._study.tell(trial.proposal, state=state)
            elif trial.value is not None and trial.name in self._spaces:
                space = self._spaces[trial.name]
                drawn = {
                    f"{trial.name}.{setting}": value
                    for setting, value in drawn_for(trial.candidate, space).items()
                }
                kinds = {
                    f"{trial.name}.{setting}": distribution_of(trial.candidate, setting, dimension)
                    for setting, dimension in space.items()
                }
                drawn, kinds = self._with_candidate(trial.name, drawn, {name: kinds[name] for name in drawn})
                means = np.cumsum(trial.values) / np.arange(1, self._n_folds + 1)
                self._study.add_trial(
                    create_trial(
                        value=trial.value,
                        params=drawn,
                        distributions=kinds,
                        intermediate_values={fold + 1: float(mean) for fold, mean in enumerate(means[:-1])},
                    )
                )

    def _with_candidate(
        self, name: str, drawn: Settings, kinds: dict[str, BaseDistribution]
    ) -> tuple[Settings, dict[str, BaseDistribution]]:
        from optuna.distributions import CategoricalDistribution

        if len(self._spaces) == 1:
            return drawn, kinds
        return drawn | {CANDIDATE: name}, kinds | {CANDIDATE: CategoricalDistribution(tuple(self._spaces))}

    def _propose(self) -> list[_Trial]:
        """Propose the next batch; nothing where the trials are used up or the time is."""
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        number = len(self._trials)
        wanted = BATCH_TRIALS
        if self._search.trials is not None:
            wanted = min(wanted, self._search.trials - number)
        if wanted <= 0 or (self.until is not None and time.monotonic() >= self.until):
            return []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            seed = np.random.SeedSequence([self._seed, number]).generate_state(1)[0]
            self._study.sampler = TPESampler(
                seed=int(seed), multivariate=True, group=True, constant_liar=True
            )
        batch = [self._proposed(number + place) for place in range(wanted)]
        self._trials += batch
        return batch

    def _proposed(self, number: int) -> _Trial:
        proposal = self._study.ask()
        names = list(self._spaces)
        name = names[0] if len(names) == 1 else proposal.suggest_categorical(CANDIDATE, names)
        candidate, settings = self._candidates[name], {}
        for setting, dimension in self._spaces[name].items():
            settings[setting] = propose_value(proposal, f"{name}.{setting}", candidate, setting, dimension)
        return _Trial(number, name, with_values(candidate, settings), settings, proposal)

    def _name(self, trial: _Trial) -> str:
        return f"{trial.name} (trial {trial.number + 1})"

    def tell_progress(self, state: PoolState) -> None:
        """Pass on how many trials have ended, the best of them, and what is left."""
        if self._watch is None:
            return
        ended = sum(trial.state != "unfinished" for trial in self._trials)
        total = self._search.trials
        left = [] if self.until is None else [max(0.0, self.until - time.monotonic())]
        if total is not None and ended > len(self._candidates):
            left.append(self._elapsed_s / ended * (total - ended))
        best = max(self._found(), key=self._rank, default=None)
        said = ""
        if best is not None and best.value is not None:
            said = f"best so far: {self._rank_by} {best.value:.4f}, {best.candidate}"
        notice, self._notice = self._notice, ""
        self._watch(
            PoolState(
                ended,
                total or 0,
                state.running,
                min(left, default=None),
                unit="trials",
                remark=said,
                notice=notice,
            )
        )

    def _rank(self, found: FoundSettings) -> float:
        if found.value is None:
            return -np.inf
        return -found.value if self._rank_by == "brier_score" else found.value

    def _found(self) -> list[FoundSettings]:
        found = []
        for name in self._candidates:
            trials = [trial for trial in self._trials if trial.name == name]
            each = [
                FoundSettings(
                    candidate=name,
                    trial=trial.number,
                    settings=trial.settings,
                    value=trial.value,
                    trials=len(trials),
                )
                for trial in trials
                if trial.value is not None
            ]
            nothing = FoundSettings(candidate=name, trial=None, settings={}, value=None, trials=len(trials))
            found.append(max(each, key=self._rank, default=nothing))
        return found

    def report(self, held_back: int) -> SearchReport:
        """Describe the search at its end."""
        n_ended = sum(trial.state != "unfinished" for trial in self._trials)
        ended_by: Literal["trials", "seconds"] = "trials" if n_ended == self._search.trials else "seconds"
        return SearchReport(
            rank_by=self._rank_by,
            folds=self._n_folds,
            held_back_folds=self._n_splits - self._n_folds,
            search_rows=len(self._y),
            held_back_rows=held_back,
            ended_by=ended_by,
            took_s=self._elapsed_s,
            found=tuple(self._found()),
            trials=tuple(trial.describe() for trial in self._trials),
            resumed_trials=sum(trial.is_resumed for trial in self._trials),
            sampler=f"optuna {version('optuna')}, TPESampler",
        )
