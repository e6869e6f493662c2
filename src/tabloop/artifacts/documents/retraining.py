"""What `retraining.json` holds: what a challenger was made of, and the rows that it has to be judged on."""

from __future__ import annotations

from typing import Any

import msgspec

from tabloop.artifacts.documents.document import FORMAT_VERSION


class TableCounts(msgspec.Struct, frozen=True, kw_only=True):
    """A stored table: its content's hash, its rows, and the positive ones among them."""

    sha256: str
    rows: int
    positives: int


class ReferenceTable(TableCounts, frozen=True, kw_only=True):
    """The data of the config, and the settings that name them."""

    source: dict[str, Any]


class LearnedFeedback(msgspec.Struct, frozen=True, kw_only=True):
    """The outcomes that had matured, and which of them the challenger learned from."""

    matured_rows: int
    matured_positives: int
    lost_rows: int
    refused_rows: int
    refused_reasons: dict[str, int]
    learned_rows: int
    learned_positives: int
    first_learned_id: str
    last_learned_id: str


class FreshTable(TableCounts, frozen=True, kw_only=True):
    """The latest labelled rows: held out, and those of them that neither model was trained on."""

    held_out_rows: int
    held_out_positives: int
    first_id: str
    last_id: str


class FrozenTable(TableCounts, frozen=True, kw_only=True):
    """Test rows of the reference data, and how the champion's training rows were found."""

    champion_data: str


class RetrainingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a challenger was made of.

    Attributes
    ----------
    champion_run_id : str
        The champion that it has to beat.
    time : str
        When the data were put together, ISO 8601 UTC.
    data : {"append", "window", "replace"}
        How outcomes and reference data were joined.
    reference, feedback, dataset, fresh, frozen_test
        The tables.
    trigger : dict
        What asked for the retraining, as it said it.
    """

    champion_run_id: str
    time: str
    data: str
    reference: ReferenceTable
    feedback: LearnedFeedback
    dataset: TableCounts
    fresh: FreshTable
    frozen_test: FrozenTable
    trigger: dict[str, Any] = msgspec.field(default_factory=dict)
    format_version: int = FORMAT_VERSION
