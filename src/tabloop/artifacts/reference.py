"""Write docs/artifact-formats.md from the names and types of the files, so that it cannot be wrong."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from tabloop.artifacts import documents, layout
from tabloop.artifacts.documents.document import FORMAT_VERSION

_HEAD = f"""# Artifact formats

After this page you can read every file that tabloop writes, from any language. Generated from the names and
types of the files by `make docs`; a test fails when it is stale.

JSON files are UTF-8 with sorted keys; times are ISO 8601 in UTC; a file that ends with `.jsonl` has one
JSON object a line. The format version is {FORMAT_VERSION}, in `manifest.json`. A reader leaves keys out
that it does not know: new keys may come, and what a key means stays.
"""

#: What each name of `artifacts/layout.py` is; the page cannot be written while one is missing.
_MEANINGS = {
    "MANIFEST": "the state of the run, and each of its files with its hash",
    "QUARANTINE": "the refused rows of the source, each with its reasons",
    "RETRAINING": "only of a challenger: what it was made of, and the rows that it is judged on",
    "CONFIG": "the settings that the run was made with",
    "CONTRACT": "columns, rules and features",
    "PIPELINE": "the winner as a fitted scikit-learn pipeline, for joblib; unpickle only your own",
    "THRESHOLD": "the decision threshold, a float64 as text",
    "SCORES": "labels and the winner's probabilities of both parts, for another threshold; NumPy arrays",
    "METRICS": "the winner, its promise and its figures, and the candidates",
    "SEARCH": "every trial of a search for settings, and what it found; only where there was one",
    "DRIFT_BASELINE": "what the training rows looked like, for the z-score rule",
    "DRIFT_REFERENCE": "the training rows in cells, for the windowed tests; NumPy arrays",
    "DRIFT_OPERATING_TABLE": "what the drift alarms cost and see with this table",
    "LINEAGE": "data, code, libraries and machine that made the run",
    "MODEL_CARD": "what the model is worth, in words",
    "FP32_MODEL": "the exact ONNX graph, from raw columns to the probability",
    "EXPLAINER": "what explains single answers; NumPy arrays",
    "SELF_TEST": "rows with the probabilities that the graph has to give them",
    "EXPORT_REPORT": "what was exported, and how far graph and model are apart",
    "INT8_MODEL": "the 8-bit graph, where one was made",
    "QUANTIZE_REPORT": "what eight bits changed, and the verdict on it",
    "PARITY_REPORT": "graph and trained model compared row by row",
    "BENCHMARK": "latency, throughput, size and quality of every variant",
    "BENCHMARK_TABLE": "the same as a table",
    "LEARNING_CURVE": "figures over growing samples",
    "LEARNING_CURVE_PLOT": "the same as a picture",
    "TRADEOFFS": "the variants that no other beats in everything",
    "TRADEOFFS_TABLE": "the same as a table",
    "TRADEOFFS_PLOT": "the same as a picture",
    "TRADEOFFS_PAGE": "the same as a page",
    "EVALUATION": "what the served model does on the test rows",
    "EXPLANATION": "importances and partial dependence",
    "DISTRIBUTIONS": "the columns of the accepted rows, and why rows were refused",
    "GATES": "the verdict of every gate",
    "RUNS": "the runs, each in a folder of its name",
    "CHAMPION": "a link to the run that answers",
    "DECISIONS": "every promotion, refusal and rollback, with its reasons",
    "NOTES": "notes and tags of runs",
    "DATASETS": "rows that were handed in as a frame or made for a retraining, as Parquet by their hash",
    "FEEDBACK": "[outcomes](performance.md#bringing-outcomes) of predictions",
    "RUNTIME_METRICS": "throughput and latencies of the service, a line a minute",
    "ALARMS": "the alarms that are on, and those of late",
    "WINDOWS": "what was found in windows of logged rows, by run and hour, of the last 31 days",
    "RETRAIN_LOG": "what the latest retraining said that the service began",
    "RETRAIN_STATE": "since when that retraining runs, and how it ended",
    "STREAM_STATE": "what the consumer of a stream did so far, and when it said so",
    "SIMULATION_PLOT": "the picture of the latest simulated stream",
    "FLEET": "the runs, logs and outcomes of [all machines](fleet.md), as an artifact folder of its own",
    "SERVING_STATE": "what the processes of a running service share; of no use to others",
    "RELEASE_LOCK": "held while the champion is judged or moved",
    "RETRAINING_LOCK": "held by a retraining",
    "SEARCHES": "what searches that are not finished have scored so far; may be removed",
    "REPORTS": "what is measured of a sealed run, by run",
    "CHANGED_DECISIONS": "logged rows that a challenger decides otherwise than the champion did",
    "FEEDBACK_QUARANTINE": "outcomes that a retraining could not learn from, with their reasons",
    "REPORT": "the page about the run",
}
#: The type of each document, by the name of its file in `artifacts/layout.py`.
_TYPES = {
    "MANIFEST": "Manifest", "RETRAINING": "RetrainingRecord", "METRICS": "Metrics", "SEARCH": "SearchReport",
    "DRIFT_BASELINE": "DriftBaseline", "DRIFT_OPERATING_TABLE": "DriftOperatingTable", "LINEAGE": "Lineage",
    "SELF_TEST": "SelfTest", "EXPORT_REPORT": "ExportReport", "QUANTIZE_REPORT": "QuantizeReport",
    "PARITY_REPORT": "RunParity", "BENCHMARK": "BenchmarkReport", "LEARNING_CURVE": "LearningCurve",
    "TRADEOFFS": "TradeoffReport", "EVALUATION": "Evaluation", "EXPLANATION": "Explanation",
    "DISTRIBUTIONS": "Distributions", "GATES": "Gates",
}  # fmt: skip
_IN_A_REPORT_FOLDER = ("CHANGED_DECISIONS", "FEEDBACK_QUARANTINE", "REPORT")


def render_reference() -> str:
    """Write the whole page.

    Returns
    -------
    page : str
        Markdown: the folder first, then a table for each type of the JSON files.
    """
    names = {name: value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)}
    ordered = list(names)
    in_a_run = ordered[: ordered.index("RUNS")]
    beside = [name for name in ordered[len(in_a_run) :] if name not in _IN_A_REPORT_FOLDER]
    parts = [
        _HEAD,
        "## In a run: `runs/<run_id>/`\n\n" + _files(names, in_a_run)
        + "\n\nWith `training.keep: all` the other candidates lie in `candidates/`, as `.joblib`,\n"
        "`.onnx` and `.int8.onnx`.",
        "## Beside the runs\n\n" + _files(names, beside)
        + "\n\nThe [prediction log](prediction-log.md) has a page of its own.\n"
        + _wrapped_names(layout.FAMILIAR_FILES),
        "## In `reports/<run_id>/`\n\n" + _files(names, _IN_A_REPORT_FOLDER)
        + "\n\nA benchmark, a comparison or a curve that is made of a sealed run stands here too, under the\n"
        "name that it has in a run.",
        *_documents(names),
    ]  # fmt: skip
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _files(names: dict[str, str], shown: typing.Iterable[str]) -> str:
    rows = []
    for name in shown:
        label = f"[`{names[name]}`](#{_anchor(names[name])})" if name in _TYPES else f"`{names[name]}`"
        rows.append(f"| {label} | {_MEANINGS[name]} |")
    return "\n".join(["| file | holds |", "|---|---|", *rows])


def _wrapped_names(names: tuple[str, ...]) -> str:
    said = "These names lead to the files of the champion: " + ", ".join(f"`{name}`" for name in names) + "."
    return textwrap.fill(said, 118, break_on_hyphens=False)


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "", name)


def _documents(names: dict[str, str]) -> Iterator[str]:
    kinds = {
        kind.__name__: kind
        for module in pkgutil.iter_modules(documents.__path__)
        for kind in vars(importlib.import_module(f"{documents.__name__}.{module.name}")).values()
        if inspect.isclass(kind) and issubclass(kind, msgspec.Struct)
    }
    described: set[str] = set()
    for name, root in _TYPES.items():
        described.add(root)
        yield f"## `{names[name]}`\n\n{_table(kinds[root])}"
        for below in _reachable(kinds[root]):
            if below.__name__ not in described:
                described.add(below.__name__)
                yield f"### `{below.__name__}`\n\n{_table(below)}"


def _reachable(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for field in msgspec.structs.fields(kind):
        for below in _structs(field.type):
            yield below
            yield from _reachable(below)


def _structs(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    if inspect.isclass(annotation) and issubclass(annotation, msgspec.Struct):
        yield annotation
    for inner in get_args(annotation):
        yield from _structs(inner)


def _table(kind: type[msgspec.Struct]) -> str:
    told = _attributes(kind)
    rows = [
        f"| `{field.encode_name}` | {_type(field.type)} | {told.get(field.name, '')} |".replace("  |", " |")
        for field in msgspec.structs.fields(kind)
    ]
    sentence = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return "\n".join([sentence, "", "| key | type | meaning |", "|---|---|---|", *rows])


def _attributes(kind: type) -> dict[str, str]:
    """Read the section `Attributes` of a type and of those that it is made from."""
    told = {"format_version": "The version of this format."}
    for each in reversed(kind.__mro__):
        _, _, section = inspect.cleandoc(each.__doc__ or "").partition("Attributes\n----------\n")
        for names, lines in re.findall(r"^(\w[\w, ]*?) :.*\n((?:    .*\n?|\n(?=    ))+)", section, re.M):
            said = " ".join(lines.split()).replace("|", "\\|")
            told |= dict.fromkeys((name.strip() for name in names.split(",")), said)
    return told


def _type(annotation: Any) -> str:
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}
    if annotation in plain:
        return plain[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(dict.fromkeys(_type(member) for member in inner))
    if origin in (tuple, list):
        return f"list of {_type(inner[0])}" if inner else "list"
    if origin is dict:
        return f"{_type(inner[1])} by name"
    if inspect.isclass(annotation) and issubclass(annotation, msgspec.Struct):
        return f"[`{annotation.__name__}`](#{annotation.__name__.lower()})"
    return "any" if annotation in (Any, object) else "object"


if __name__ == "__main__":
    Path("docs/artifact-formats.md").write_text(render_reference(), encoding="utf-8")
