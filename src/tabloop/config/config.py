"""The whole configuration, one section a stage."""

from __future__ import annotations

import hashlib
import json

from pydantic import Field, StrictInt, model_validator

from tabloop.config.alerts import AlertsConfig
from tabloop.config.artifacts import ArtifactsConfig
from tabloop.config.benchmarking import BenchmarkingConfig
from tabloop.config.business import BusinessConfig
from tabloop.config.cv import CvConfig
from tabloop.config.data import CsvSource, DataConfig, GroupSplit, HashSplit
from tabloop.config.gone_settings import without_gone_settings
from tabloop.config.later_settings import with_later_settings
from tabloop.config.monitoring import MonitoringConfig
from tabloop.config.prediction_log import PredictionLogConfig
from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.config.publishing import PublishingConfig
from tabloop.config.release import ReleaseConfig
from tabloop.config.retraining import RetrainingConfig
from tabloop.config.scoring import ScoringConfig
from tabloop.config.serving import ServingConfig
from tabloop.config.streaming import StreamConfig
from tabloop.config.training import KNeighborsCandidate, TrainingConfig
from tabloop.contract.columns import CategoryColumn, IntegerColumn, NumberColumn, TimestampColumn
from tabloop.contract.columns.text_like import TextLikeColumn
from tabloop.contract.contract import Contract, ContractConfig, name_problem
from tabloop.contract.section import Section


class Config(Section):
    """Every setting of a project."""

    seed: StrictInt = Field(42, ge=0, le=2**32 - 1, description="Fixes every random choice.")
    data: DataConfig = Field(description="Where the rows come from.")
    contract: ContractConfig = Field(description="What a valid row is.")
    preprocessing: PreprocessingConfig = Field(
        default_factory=PreprocessingConfig, description="What is learned before the classifier."
    )
    training: TrainingConfig = Field(
        default_factory=lambda: TrainingConfig.model_validate({}), description="Which classifiers compete."
    )
    cv: CvConfig = Field(default_factory=lambda: CvConfig.model_validate({}), description="Cross-validation.")
    business: BusinessConfig = Field(
        default_factory=lambda: BusinessConfig.model_validate({}), description="What decisions have to keep."
    )
    artifacts: ArtifactsConfig = Field(
        default_factory=lambda: ArtifactsConfig.model_validate({}), description="Where runs are kept."
    )
    benchmarking: BenchmarkingConfig = Field(
        default_factory=lambda: BenchmarkingConfig.model_validate({}), description="How variants compare."
    )
    serving: ServingConfig = Field(
        default_factory=lambda: ServingConfig.model_validate({}), description="How the service answers."
    )
    prediction_log: PredictionLogConfig = Field(
        default_factory=lambda: PredictionLogConfig.model_validate({}), description="What is logged."
    )
    scoring: ScoringConfig = Field(
        default_factory=lambda: ScoringConfig.model_validate({}), description="How whole tables are scored."
    )
    release: ReleaseConfig = Field(
        default_factory=lambda: ReleaseConfig.model_validate({}), description="What a run has to show."
    )
    publishing: PublishingConfig = Field(
        default_factory=lambda: PublishingConfig.model_validate({}), description="Where runs are shown."
    )
    monitoring: MonitoringConfig = Field(
        default_factory=lambda: MonitoringConfig.model_validate({}), description="When to worry."
    )
    retraining: RetrainingConfig = Field(
        default_factory=lambda: RetrainingConfig.model_validate({}), description="When and how to retrain."
    )
    stream: StreamConfig = Field(
        default_factory=lambda: StreamConfig.model_validate({}), description="Events in, decisions out."
    )
    alerts: AlertsConfig = Field(
        default_factory=lambda: AlertsConfig.model_validate({}), description="Who is told of an alarm."
    )

    @model_validator(mode="after")
    def _ignored_is_unused(self) -> Config:
        used = {*self.contract.columns, self.data.target.name} & set(self.data.ignore)
        if used:
            raise ValueError(f"data.ignore names what the contract uses: {', '.join(sorted(used))}")
        return self

    @model_validator(mode="after")
    def _split_column_fits(self) -> Config:
        split = self.data.split
        if isinstance(split, HashSplit):
            return self
        where, name = "data.split.column", split.column
        if name == self.data.target.name or name in self.contract.features:
            what = "the target" if name == self.data.target.name else "an engineered feature"
            raise ValueError(f"{where}: {name} is {what}; expected a column of the source")
        column = self.contract.columns.get(name)
        if column is None:
            if problem := name_problem(name):
                raise ValueError(f"{where}: {name!r}: {problem}")
        elif isinstance(split, GroupSplit):
            if not isinstance(column, TextLikeColumn | IntegerColumn):
                raise ValueError(
                    f"{where}: {name} is a {column.type} in the contract; groups are told apart by a text, a "
                    "category or an integer"
                )
        elif not isinstance(column, TimestampColumn | IntegerColumn | NumberColumn):
            raise ValueError(
                f"{where}: {name} is a {column.type} in the contract; rows are put in order by a timestamp, "
                "an integer or a number"
            )
        elif column.nullable:
            raise ValueError(
                f"{where}: {name} is nullable in the contract, and a row without a time has no place in "
                "time; write nullable: false there, and such rows are refused"
            )
        return self

    @model_validator(mode="after")
    def _search_leaves_folds(self) -> Config:
        if self.training.search is not None and self.cv.n_splits < 3:
            raise ValueError(
                f"cv.n_splits: got {self.cv.n_splits}, expected at least 3 with training.search, which "
                "leaves the rows of some folds to the threshold"
            )
        return self

    @model_validator(mode="after")
    def _weight_fits(self) -> Config:
        name = self.data.weight
        if name is None:
            return self
        if name in (self.data.target.name, self.data.split_column) or name in self.contract.features:
            raise ValueError(f"data.weight: {name} is something else already; expected a column of weights")
        column = self.contract.columns.get(name)
        if column is None:
            if problem := name_problem(name):
                raise ValueError(f"data.weight: {name!r}: {problem}")
            return self
        is_number = isinstance(column, IntegerColumn | NumberColumn) and not column.nullable
        least = column.minimum if isinstance(column, IntegerColumn | NumberColumn) else None
        if not is_number or least is None or least < 0:
            raise ValueError(
                f"data.weight: {name} has to be a number or an integer in the contract, not nullable, with "
                "minimum: 0 or more, so that a row without a weight or with a negative one is refused"
            )
        return self

    @model_validator(mode="after")
    def _rows_allow_the_objectives(self) -> Config:
        marked = {"data.split.kind: group": isinstance(self.data.split, GroupSplit)}
        marked["data.weight"] = self.data.weight is not None
        why = " and ".join(name for name, is_so in marked.items() if is_so)
        asked = [
            f"business.{name}"
            for name in ("target_recall", "capacity", "costs")
            if getattr(self.business, name) is not None
        ]
        if why and asked:
            raise ValueError(
                f"{asked[0]}: got a value with {why}, expected null: only a precision can be promised of "
                "rows that have groups or weights; leave out data.weight and split rows by hash or time to "
                "promise this"
            )
        return self

    @model_validator(mode="after")
    def _candidates_take_weights(self) -> Config:
        candidates = self.training.candidates
        without = [name for name, each in candidates.items() if isinstance(each, KNeighborsCandidate)]
        if self.data.weight is not None and without:
            raise ValueError(
                f"training.candidates.{without[0]}: k nearest neighbours take no row weights, and "
                f"data.weight is {self.data.weight}; leave this candidate out of training.candidates"
            )
        return self

    @model_validator(mode="after")
    def _private_columns_exist(self) -> Config:
        log = self.prediction_log
        unknown = sorted({*log.omit, *log.hash} - {*self.contract.columns})
        if unknown:
            raise ValueError(f"prediction_log hides what the contract does not have: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _named_categories_exist(self) -> Config:
        columns = self.contract.columns
        known = [n for n, column in columns.items() if column.model and isinstance(column, CategoryColumn)]
        for setting, names in (
            ("monitoring.segments", self.monitoring.segments),
            ("preprocessing.target_encoding", self.preprocessing.target_encoding),
        ):
            if wrong := [name for name in names if name not in known]:
                raise ValueError(
                    f"{setting}: {', '.join(wrong)}: no category column that the model sees; "
                    f"those are: {', '.join(known) or 'none'}"
                )
        return self

    @classmethod
    def from_json(cls, text: str | bytes) -> Config:
        """Read what `to_json` wrote, also by an earlier version whose settings are gone since."""
        recorded = with_later_settings(without_gone_settings(json.loads(text)))
        return cls.model_validate_json(json.dumps(recorded))

    def to_json(self) -> str:
        """Write every setting in force as JSON text; the order of columns and candidates is part of it."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    def build_contract(self) -> Contract:
        """Build the contract: what all sections say about rows, whatever door they come in by."""
        strip_spaces = isinstance(self.data.source, CsvSource) and self.data.source.strip_spaces
        # what only splits the rows is no input: rows to be scored may have it, and it is left out
        beside = [name for name in self.data.mark_columns if name not in self.contract.columns]
        ignored = tuple(dict.fromkeys([*self.data.ignore, *beside]))
        return Contract(self.contract, self.data.target, ignored, strip_spaces)

    @property
    def sha256(self) -> str:
        """SHA-256 of `to_json`, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()
