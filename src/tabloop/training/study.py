"""One search under way: trials in batches, scored fold by fold, the best so far."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from tabloop.artifacts.documents.search import FoundSettings, SearchReport, SearchTrial, Settings, TrialState
from tabloop.config.config import Config
from tabloop.config.search import SearchConfig, with_values
from tabloop.config.training import Candidate, EstimatorCandidate, RankBy
from tabloop.progress import PoolState
from tabloop.training.calibration import fit_sigmoid
from tabloop.training.folds import Folds
from tabloop.training.schedule import Watcher
from tabloop.training.search_journal import FoldScore, SearchJournal
from tabloop.training.search_space import CANDIDATE, distribution_of, drawn_for, propose_value, spaces_of
from tabloop.training.task import Task, TaskOutcome

if TYPE_CHECKING:
    import optuna
    from numpy.typing import NDArray
    from optuna.distributions import BaseDistribution

#: So many trials are proposed at once, whatever the number of workers: none knows what came of the others.
BATCH_TRIALS = 8

_PRUNE_AFTER_TRIALS = 5


@dataclass
class Trial:
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
        """What it scored on the folds so far."""
        return tuple(score.value for score in self.scores if score.value is not None)

    @property
    def value(self) -> float | None:
        """Its mean over all folds; None unless all were scored."""
        return float(np.mean(self.values)) if self.state == "complete" else None

    def describe(self) -> SearchTrial:
        """Give what the run's report says of it."""
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


class Study:
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
        self._trials: list[Trial] = []
        self._batch: list[Trial] = []
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
            Trial(number, name, candidate, {})
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

    def _go_on(self, trials: list[Trial]) -> list[Task]:
        """Give the next fold of each trial; where the whole batch has ended, those of the next one."""
        tasks = [task for trial in trials if (task := self._next_fold(trial)) is not None]
        while not tasks and all(trial.state != "unfinished" for trial in self._batch):
            self._tell()
            self._batch = self._propose()
            if not self._batch:
                break
            tasks = [task for trial in self._batch if (task := self._next_fold(trial)) is not None]
        return tasks

    def _next_fold(self, trial: Trial) -> Task | None:
        while trial.state == "unfinished":
            fold = len(trial.scores)
            known = self._journal.find(trial.number, fold, trial.settings)
            if known is None:
                rows = int(self._folds.fitted_on(fold).sum())
                return Task(self._name(trial), trial.candidate, fold, rows=rows)
            trial.is_resumed = True
            self._add(trial, known)
        return None

    def _add(self, trial: Trial, score: FoldScore) -> None:
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

    def _propose(self) -> list[Trial]:
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

    def _proposed(self, number: int) -> Trial:
        proposal = self._study.ask()
        names = list(self._spaces)
        name = names[0] if len(names) == 1 else proposal.suggest_categorical(CANDIDATE, names)
        candidate, settings = self._candidates[name], {}
        for setting, dimension in self._spaces[name].items():
            settings[setting] = propose_value(proposal, f"{name}.{setting}", candidate, setting, dimension)
        return Trial(number, name, with_values(candidate, settings), settings, proposal)

    def _name(self, trial: Trial) -> str:
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
