"""What the page of runs is told, and what an operator asks for there."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tabloop.deployment.dashboard_types.scalars import Count, Moment


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """One run in the list; figures are of its test rows, null where its training did not finish."""

    run_id: str
    state: Literal["open", "passed", "refused"]
    created_at: Moment
    champion: bool
    size_bytes: Count
    notes: list[str]
    tags: list[str]
    best_model_name: str | None
    roc_auc: float | None
    average_precision: float | None
    brier_score: float | None
    precision: float | None
    recall: float | None
    threshold: float | None
    promised_precision: float | None
    feasible: bool | None


class ChampionDecision(msgspec.Struct, frozen=True, kw_only=True):
    """One promotion, refusal or rollback, and why."""

    time: Moment
    decision: str
    run_id: str
    reason: str


class Runs(msgspec.Struct, frozen=True, kw_only=True):
    """Every run, the newest last, and every decision about the champion, the latest first."""

    champion: str | None
    runs: list[RunLine]
    broken: list[str]
    decisions: list[ChampionDecision]


class GateVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate said."""

    name: str
    passed: bool
    reason: str


class MadeOf(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a run was made of, or that it made."""

    name: str
    place: str
    sha256: str


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One graph that was measured: what it costs, and how well it ranks."""

    name: str
    is_winner: bool
    on_frontier: bool
    p99_ms: float
    samples_per_s: float
    roc_auc: float
    file_bytes: Count


class BoundedFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the test rows, with its 95% interval where one was measured."""

    value: float
    low: float | None
    high: float | None


class RunDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One run: what it was made of, its figures, its settings, its gates."""

    summary: RunLine
    figures: dict[str, BoundedFigure]
    rows: dict[str, int]
    settings: Annotated[dict[str, str], Meta(description="As JSON texts, by section.key.")]
    gates: list[GateVerdict]
    made_of: list[MadeOf]
    made: list[MadeOf]
    promise: Annotated[str | None, Meta(description="What its threshold promises, as a clause.")]
    challenged: Annotated[str | None, Meta(description="The champion that it had to beat.")]
    variants: list[Variant]


class Promotion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which run becomes champion, and why."""

    run_id: Annotated[str, Meta(min_length=1, max_length=100)]
    reason: Annotated[str, Meta(min_length=1, max_length=1000)]


class Rollback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To which run to go back, by default the champion before this one, and why."""

    reason: Annotated[str, Meta(min_length=1, max_length=1000)]
    run_id: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class RetrainingRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why to train again."""

    reason: Annotated[str, Meta(min_length=1, max_length=1000)]


class NewChampion(msgspec.Struct, frozen=True, kw_only=True):
    """The champion now, and the one before."""

    run_id: str
    before: str | None


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """The latest retraining that the service began, and what it said from a byte on."""

    running: bool
    begun_at: Moment | None
    ended_at: Moment | None
    exit_code: Annotated[int | None, Meta(description="0: went live; 1: refused; else it failed.")]
    reason: str
    log: str
    next_after: Annotated[int, Meta(ge=0, description="The byte from which to ask on.")]
