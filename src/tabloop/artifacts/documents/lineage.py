"""What `lineage.json` holds: all that a run was made of, so that it can be checked and made again."""

from __future__ import annotations

from typing import Literal

import msgspec

from tabloop.artifacts.documents.document import FORMAT_VERSION

#: What a row's place is computed from: its features, its features with the number of its copy, its group, its
#: time, or (until version 0.1.0, for runs that were made then) its whole content, the target included.
SplitRule = Literal["together", "apart", "group", "time", "content"]


class RowCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows that were read."""

    read: int
    quarantined: int
    training: int
    test: int


class SplitSetting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What tells again which rows are in the test part.

    Attributes
    ----------
    rule : SplitRule
        What a row's place is computed from.
    test_size : float
        The fraction that was asked for.
    column : str or None
        The column that the split goes by (`group` and `time`).
    cut : int, float or None
        Where these part: of `time` the first value of the test part, moments in microseconds since 1970; of
        `group` the hashes of groups in the test part are less than 2**64 times this. The other rules cut at
        `test_size`.
    test_from : str or None
        The cut of `time` as a person reads it.
    """

    rule: SplitRule
    test_size: float
    column: str | None = None
    cut: int | float | None = None
    test_from: str | None = None


class PredictionHashes(msgspec.Struct, frozen=True, kw_only=True):
    """SHA-256 of the winner's probabilities, as float64 in the order of the split."""

    out_of_fold: str
    test: str


class Ingredient(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a run was made of.

    Attributes
    ----------
    sha256 : str
        The SHA-256 of the content.
    path, source_path : str or None
        The file, relative to the config's folder where it lies below it; of the config, also the file that
        a person wrote.
    database, table, query_sha256 : str or None
        What tells one table of a database from others.
    notes : tuple of str
        Remarks made while it was read.
    """

    sha256: str
    path: str | None = None
    source_path: str | None = None
    database: str | None = None
    table: str | None = None
    query_sha256: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where it is: a path, or a database with its table or query."""
        if self.path is not None:
            return self.path
        what = f"table {self.table}" if self.table is not None else f"query {(self.query_sha256 or '')[:16]}"
        return f"{self.database}, {what}"


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """The package: its version and a hash over its source files."""

    package: str
    version: str
    sha256: str


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Operating system and processor."""

    system: str
    machine: str


class CalibratedFrom(msgspec.Struct, frozen=True, kw_only=True):
    """The run whose model a run has, at another threshold.

    Attributes
    ----------
    run_id : str
        That run.
    model : Ingredient
        Its pipeline, which differs from this run's in the threshold alone.
    trained_as : str
        The run that trained the model: the same one, or the first of several that were calibrated from each
        other.
    business_in_file : dict
        The section `business` of the config's file when this was done, without what `--set` changed. While
        it is still that, a retraining takes this run's settings in its place.
    """

    run_id: str
    model: Ingredient
    trained_as: str
    business_in_file: dict[str, object]


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run comes from.

    Attributes
    ----------
    run_id : str
        The run.
    seed : int
        Fixed every random choice.
    rows : RowCounts
        How many were read, refused, trained on and reported on.
    split : SplitSetting or None
        How the rows were split; None in runs of version 0.1.0.
    predictions_sha256 : PredictionHashes
        Hashes of the predictions that training again has to give.
    dataset, config, contract, model, threshold : Ingredient
        Where each of them is, and its hash.
    code : Code
        The package.
    libraries : dict of str to str
        Versions of those that decide the numbers.
    platform : Machine
        The machine on which the run was trained.
    calibrated_from : CalibratedFrom or None
        Whose model it has, where `tabloop calibrate` made it; None of a run that was trained.
    """

    run_id: str
    seed: int
    rows: RowCounts
    predictions_sha256: PredictionHashes
    dataset: Ingredient
    config: Ingredient
    contract: Ingredient
    model: Ingredient
    threshold: Ingredient
    code: Code
    libraries: dict[str, str]
    platform: Machine
    split: SplitSetting | None = None
    calibrated_from: CalibratedFrom | None = None
    format_version: int = FORMAT_VERSION
