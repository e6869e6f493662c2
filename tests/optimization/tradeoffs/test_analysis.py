from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tabloop.artifacts.documents.benchmark import (
    BenchmarkReport,
    Figure,
    Kind,
    MeasuredMachine,
    Omission,
    Quality,
    Timing,
    VariantReport,
)
from tabloop.artifacts.documents.document import document_bytes, parse_document
from tabloop.artifacts.documents.tradeoffs import TradeoffReport
from tabloop.errors import ArtifactError, TooFewRowsError
from tabloop.optimization.tradeoffs.analysis import analyse_tradeoffs, dominance, tradeoff_table
from tabloop.optimization.tradeoffs.page import render_html, render_png
from tabloop.optimization.tradeoffs.plots import latency_chart

KINDS: tuple[Kind, ...] = ("sklearn", "onnx_fp32", "onnx_int8")


def around(value: float, reach: float = 0.0) -> Figure:
    return Figure(value, value * (1 - reach), value * (1 + reach))


def variant(
    candidate: str,
    kind: Kind,
    p99_ms: float,
    samples_per_s: float,
    roc_auc: float,
    file_bytes: int,
    *,
    reach: float = 0.0,
    sizes: tuple[int, ...] = (1, 16),
    is_winner: bool = False,
    cpu_fraction: float = 1.0,
    **more: Any,
) -> VariantReport:
    p99, speed = around(p99_ms, reach), around(samples_per_s, reach)
    return VariantReport(
        candidate=candidate,
        kind=kind,
        is_winner=is_winner,
        file=f"{candidate}.onnx",
        file_bytes=file_bytes,
        quality=Quality(around(roc_auc)),
        timings=tuple(Timing(size, 30, 3, p99, p99, p99, speed, cpu_fraction, **more) for size in sizes),
    )


def report_of(*variants: VariantReport, **more: Any) -> BenchmarkReport:
    settings: dict[str, Any] = {
        "mode": "quick",
        "seed": 1,
        "rounds": 3,
        "headline_batch_size": 16,
        "batch_sizes": (1, 16),
        "confidence": 0.95,
        "test_rows": 600,
        "positive_rows": 60,
        "duration_s": 12.0,
        "machine": MeasuredMachine(
            system="Linux", architecture="x86_64", logical_cores=2, cpu="Abacus", memory_bytes=8_000_000_000
        ),
        "threads": {"OMP_NUM_THREADS": "1"},
        "libraries": {"numpy": "2.4"},
        "energy_measured": False,
        "comparisons": (),
    }
    return BenchmarkReport(**(settings | {"variants": variants} | more))


FAST = variant("tree", "onnx_fp32", 1.0, 9000.0, 0.95, 4_000)
SLOW = variant("tree", "sklearn", 6.0, 2000.0, 0.95, 20_000)
GOOD = variant("forest", "onnx_fp32", 9.0, 1000.0, 0.97, 3_000_000, is_winner=True)

costs = st.lists(st.tuples(*[st.integers(0, 4)] * 4), min_size=1, max_size=25)


@given(costs)
def test_nobody_on_the_frontier_is_dominated_and_everybody_off_it_is(points: list[tuple[int, ...]]) -> None:
    dominates = dominance(np.array(points, dtype=np.float64))
    frontier = np.asarray(~dominates.any(axis=0))
    assert frontier.any()
    for j, point in enumerate(points):
        better = [
            i
            for i, other in enumerate(points)
            if all(a <= b for a, b in zip(other, point, strict=True)) and other != point
        ]
        assert better == np.flatnonzero(dominates[:, j]).tolist()
        if not frontier[j]:  # and always by somebody on the frontier
            assert frontier[better].any()


@given(costs, st.floats(0, 0.5))
def test_analysis_and_dominance_agree(points: list[tuple[int, ...]], reach: float) -> None:
    variants = [
        variant(f"c{i}", KINDS[i % 3], 1.0 + a, 10.0 - b, 0.9 - c / 100, 100 + d, reach=reach)
        for i, (a, b, c, d) in enumerate(points)
    ]
    report = analyse_tradeoffs(report_of(*variants))
    frontier = np.asarray(~dominance(np.array(points, dtype=np.float64)).any(axis=0))
    assert {point.candidate for point in report.frontier} == {f"c{i}" for i in np.flatnonzero(frontier)}
    for point in report.points:
        assert not (point.on_frontier and point.surely_dominated)
        if reach == 0:
            assert point.surely_dominated == (not point.on_frontier)
    aucs = [point.roc_auc.value for point in report.points]
    assert aucs == sorted(aucs, reverse=True)


def test_who_dominates_is_named() -> None:
    report = analyse_tradeoffs(report_of(SLOW, GOOD, FAST))
    assert [(point.name, point.dominated_by) for point in report.points] == [
        ("forest, ONNX FP32", ()),
        ("tree, scikit-learn", ("tree, ONNX FP32",)),
        ("tree, ONNX FP32", ()),
    ]


def test_what_lies_within_the_intervals_is_not_sure() -> None:
    near = variant("tree", "sklearn", 1.05, 8900.0, 0.95, 4_000)
    for reach, sure in ((0.0, True), (0.2, False)):
        wide = variant("tree", "onnx_fp32", 1.0, 9000.0, 0.95, 4_000, reach=reach)
        points = {point.kind: point for point in analyse_tradeoffs(report_of(wide, near)).points}
        assert points["sklearn"].dominated_by == ("tree, ONNX FP32",)
        assert points["sklearn"].surely_dominated is sure


def test_what_failed_is_said() -> None:
    broken = VariantReport(
        candidate="svm",
        kind="onnx_fp32",
        is_winner=False,
        file="svm.onnx",
        failure="no such file",
        timings=(),
    )
    skipped = Omission("forest", "onnx_int8", "nothing to quantise")
    elsewhere = Omission("knn", "sklearn", "one call takes 9.0 s", 4096)
    few = variant("knn", "sklearn", 1.0, 1.0, 0.9, 1, sizes=(1,))
    report = analyse_tradeoffs(report_of(FAST, broken, few, omissions=(skipped, elsewhere)))
    assert report.omissions == (
        skipped,
        Omission("svm", "onnx_fp32", "no such file"),
        Omission("knn", "sklearn", "not measured at batch size 16"),
    )
    with pytest.raises(TooFewRowsError, match=r"batch size 16\n  svm, onnx_fp32: no such file"):
        analyse_tradeoffs(report_of(broken))


def test_csv_says_what_json_says() -> None:
    report = analyse_tradeoffs(report_of(SLOW, GOOD, FAST))
    content = document_bytes(report)
    described = json.loads(content)
    assert parse_document(content, TradeoffReport, "tradeoffs.json") == report
    with pytest.raises(ArtifactError, match="batch_size"):
        parse_document(b"{}", TradeoffReport, "tradeoffs.json")
    lines = list(csv.DictReader(io.StringIO(tradeoff_table(report))))
    assert len(lines) == 3
    for line, point in zip(lines, described["points"], strict=True):
        assert (line["candidate"], line["kind"]) == (point["candidate"], point["kind"])
        assert line["on_frontier"] == str(point["on_frontier"]).lower()
        assert line["dominated_by"] == "; ".join(point["dominated_by"])
        assert int(line["file_bytes"]) == point["file_bytes"]
        for name in ("p99_ms", "samples_per_s", "roc_auc"):
            assert float(line[name]) == point[name]["value"]
            assert float(line[f"{name}_high"]) == point[name]["high"]


class Page(HTMLParser):
    """Collects what a page refers to, and that its tags close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.references += [value or "" for name, value in attributes if name in ("src", "href", "srcset")]
        if tag == "img":
            assert dict(attributes)["alt"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_from_outside() -> None:
    benchmark = report_of(SLOW, GOOD, FAST, omissions=(Omission("forest", "onnx_int8", "no <MatMul>"),))
    page = render_html(analyse_tradeoffs(benchmark), benchmark)
    parsed = Page(page)
    assert parsed.open == []
    assert parsed.references == []
    assert page.count("<svg ") == 3
    assert not re.search(r"https?:|url\(|<script|@import", page.replace("http://www.w3.org/2000/svg", ""))
    assert "On the frontier: forest as ONNX FP32; tree as ONNX FP32." in parsed.text
    assert "Quick mode: only the winner" in parsed.text
    assert "forest, ONNX INT8: no <MatMul>" in parsed.text
    assert "Energy: this machine does not let it be measured" in parsed.text
    assert "8.00 GB" in parsed.text
    assert page == render_html(analyse_tradeoffs(benchmark), benchmark)


def test_a_full_benchmark_with_energy_says_so() -> None:
    measured = variant("tree", "sklearn", 1.0, 9000.0, 0.95, 4_000, energy_j_per_1000_samples=0.25)
    benchmark = report_of(measured, mode="full", energy_measured=True)
    text = Page(render_html(analyse_tradeoffs(benchmark), benchmark)).text
    assert "J per 1,000 rows" in text
    assert "0.250" in text
    assert "Quick mode" not in text
    assert "busy" not in text
    assert "Not measured" not in text


def test_a_machine_that_was_busy_is_said() -> None:
    benchmark = report_of(variant("tree", "sklearn", 1.0, 9000.0, 0.95, 4_000, cpu_fraction=0.6))
    text = Page(render_html(analyse_tradeoffs(benchmark), benchmark)).text
    assert "the calls had a processor 60% of the time" in text


def test_the_picture_takes_any_number_of_variants() -> None:
    for variants in ([GOOD], [variant(f"c{i}", KINDS[i % 3], 1.0, 10.0, 0.9, 5) for i in range(30)]):
        benchmark = report_of(*variants)
        png = render_png(analyse_tradeoffs(benchmark), benchmark)
        assert png.startswith(b"\x89PNG")


def test_the_same_plot_comes_out_byte_for_byte() -> None:
    benchmark = report_of(SLOW, GOOD, FAST)
    first, second = (latency_chart(analyse_tradeoffs(benchmark)).svg for _ in range(2))
    assert first == second


def test_an_8_bit_graph_that_is_no_gain_is_not_recommended() -> None:
    """A hair faster and ten bytes smaller is rounding; half the size is a gain."""
    exact = variant("linear", "onnx_fp32", 1.0, 9000.0, 0.95, 5_000)
    no_gain = variant("linear", "onnx_int8", 0.99, 9010.0, 0.95, 4_990)
    gain = variant("linear", "onnx_int8", 0.99, 9010.0, 0.95, 2_500)
    assert [p.kind for p in analyse_tradeoffs(report_of(exact, no_gain)).frontier] == ["onnx_fp32"]
    assert [p.kind for p in analyse_tradeoffs(report_of(exact, gain)).frontier] == ["onnx_int8"]


def test_a_winner_off_the_frontier_is_explained_and_no_row_has_a_hole() -> None:
    better = variant("forest", "onnx_int8", 8.0, 1100.0, 0.9706, 2_000_000)
    benchmark = report_of(GOOD, replace(better, candidate="other"), SLOW)
    page = render_html(analyse_tradeoffs(benchmark), benchmark)
    assert "The winner, forest, is not on the frontier" in page
    assert "higher by 0.0006" in page
    assert "<td></td>" not in page
