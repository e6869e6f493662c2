"""tabloop's graphs of boosters against those of others: error, flipped decisions, size, time.

    python -m benchmarks.boosters [--rows 20000] [--single] [--json]

Seven tables with categories and nulls: two drawn, and five that come with scikit-learn and statsmodels, whose
missing values are made where they have none. Each model is compared with its own library on the whole table,
on the same rows with values missing, and on rows drawn from the contract, with categories unseen. The others,
onnxmltools for LightGBM and XGBoost and CatBoost's own export, get the matrix that tabloop's preprocessing
makes, tabloop's graph the raw columns. CatBoost exports no categories, so it comes on numbers again.
Times are processor time of one thread, both graphs in turn, in rows of a batch of 256; the last lines compare
single rows of a model with 12 categories and of one on the numbers alone, for which `--single` is enough. No
network is needed; onnxmltools has to be installed.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import polars as pl
from pydantic import TypeAdapter
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.pipeline import Pipeline

from benchmarks.wide_table import wide_table
from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.config.training import Candidate
from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame, typed_columns
from tabloop.contract.sampling.sampler import sample_rows
from tabloop.errors import ExportError
from tabloop.inference.predictor import Predictor
from tabloop.inference.records.frame_columns import columns_of_frame
from tabloop.optimization.export.pipeline import export_pipeline, save_model
from tabloop.training.preprocessing import ContractFeatures
from tabloop.training.steps import build_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

TARGET = "target"
KINDS = ("lightgbm", "xgboost", "catboost", "hist_gradient_boosting")
_BATCH = 256
_ROUNDS = 15


@dataclass(frozen=True)
class Figures:
    """What came of one model in one graph."""

    table: str
    model: str
    graph: str
    rows: int
    max_abs_diff: float | None
    decision_flips: int | None
    kilobytes: float | None
    us_a_row: float | None
    refused: str = ""


def tables(n_rows: int) -> dict[str, pl.DataFrame]:
    """Make the tables, each with the 0/1 column `target`."""
    rng = np.random.default_rng(0)

    def with_nulls(frame: pl.DataFrame, share: float = 0.1) -> pl.DataFrame:
        return frame.with_columns(
            frame[name].set(pl.Series(rng.random(frame.height) < share), None)
            for name in frame.columns
            if name != TARGET
        )

    def of_arrays(data: Any, y: NDArray[Any], n_binned: int) -> pl.DataFrame:
        columns = {f"number_{i}": column for i, column in enumerate(data.data.T)}
        for i in range(n_binned):
            cuts = np.quantile(data.data[:, i], np.linspace(0, 1, 9)[1:-1])
            columns[f"bin_{i}"] = np.array([f"b{b}" for b in np.searchsorted(cuts, data.data[:, i])])
        return with_nulls(pl.DataFrame(columns | {TARGET: y.astype(np.int64)}))

    import statsmodels.api as sm

    def of_statsmodels(name: str, target: Callable[[Any], Any], categories: tuple[str, ...]) -> pl.DataFrame:
        data = getattr(sm.datasets, name).load_pandas().data
        y = np.asarray(target(data)).astype(np.int64)
        columns = {c: data[c].to_numpy(dtype=np.float64) for c in data.columns if c not in categories}
        texts = {c: np.array([f"v{value:g}" for value in data[c]]) for c in categories}
        return with_nulls(pl.DataFrame(columns | texts | {TARGET: y}))

    cancer, wine = load_breast_cancer(), load_wine()
    found = {
        "wide": wide_table(n_rows).rename({"bought": TARGET}),
        "wide, few rows": wide_table(1500, seed=1).rename({"bought": TARGET}),
        "breast_cancer": of_arrays(cancer, cancer.target, 6),
        "wine": of_arrays(wine, wine.target == 1, 4),
        "fair": of_statsmodels(
            "fair", lambda d: d["affairs"] > 0, ("occupation", "occupation_husb", "religious")
        ),
        "anes96": of_statsmodels("anes96", lambda d: d["vote"], ("PID", "educ", "income")),
        "randhie": of_statsmodels("randhie", lambda d: d["mdvis"] > 2, ("idp", "hlthg", "disea")),
    }
    leaks = {"fair": ["affairs"], "anes96": ["vote", "logpopul"], "randhie": ["mdvis"]}
    return {
        name: frame.drop([c for c in leaks.get(name, []) if c in frame.columns])
        for name, frame in found.items()
    }


def numbers_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Leave the categories out."""
    return frame.select(name for name in frame.columns if frame[name].dtype != pl.String)


def contract_of(frame: pl.DataFrame) -> Contract:
    """Describe a table: texts are categories, everything else numbers, all nullable."""
    columns: dict[str, Any] = {}
    for name, series in frame.drop(TARGET).to_dict().items():
        if series.dtype == pl.String:
            columns[name] = {
                "type": "category",
                "open": True,
                "nullable": True,
                "pattern": "[A-Za-z0-9.]{1,8}",
            }
        else:
            low, high = float(series.min() or 0), float(series.max() or 0)  # type: ignore[arg-type]
            columns[name] = {"type": "number", "nullable": True, "minimum": low - 1, "maximum": high + 1}
    return Contract.from_dict({"columns": columns, "target": {"name": TARGET}})


def fitted(kind: str, frame: pl.DataFrame, contract: Contract, n_trees: int) -> Pipeline:
    """Fit one model on a table."""
    trees = (
        {"max_iter": n_trees}
        if kind.startswith("hist")
        else {"n_estimators": n_trees, "early_stopping_rounds": None}
    )
    candidate: Candidate = TypeAdapter(Candidate).validate_python(
        {"kind": kind, "learning_rate": 0.1, **trees}
    )
    preprocessing = PreprocessingConfig(min_category_rows=10)
    steps = build_steps(candidate, preprocessing, contract, 1)
    steps.fit(feature_frame(contract, frame), frame[TARGET].to_numpy())
    return Pipeline([("features", ContractFeatures(contract.to_dict()).fit(None)), *steps.steps])


def asked_rows(frame: pl.DataFrame, contract: Contract, n_sampled: int) -> pl.DataFrame:
    """Put together the table, its rows with one column missing, and rows drawn from the contract."""
    own = typed_columns(contract, frame)
    some = own.sample(min(2000, own.height), seed=1)
    holes = [
        some.with_columns(pl.lit(None, some[name].dtype).alias(name)).head(2000 // some.width + 1)
        for name in some.columns
    ]
    return pl.concat([own, *holes, sample_rows(contract, n_sampled, seed=3).select(own.columns)])


def processor_us(runs: list[Callable[[], object]], n_rows: int) -> list[float]:
    """Time calls in turn and give the median processor time a row of each, in microseconds."""
    spent: list[list[float]] = [[] for _ in runs]
    for _ in range(_ROUNDS):
        for place, run in enumerate(runs):
            start = time.process_time()
            run()
            spent[place].append(time.process_time() - start)
    return [float(np.median(each)) / n_rows * 1e6 for each in spent]


def upstream_session(
    kind: str, pipeline: Pipeline, n_features: int
) -> tuple[onnxruntime.InferenceSession, int]:
    """Convert the booster as others do; give the session and its size."""
    booster = pipeline[-1].booster_
    if kind == "catboost":
        with TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            booster.save_model(str(path), format="onnx")
            written = path.read_bytes()
    else:
        import onnxmltools
        from onnxmltools.convert.common.data_types import FloatTensorType

        types = [("x", FloatTensorType([None, n_features]))]
        if kind == "lightgbm":
            model = onnxmltools.convert_lightgbm(booster, initial_types=types, zipmap=False)
        else:
            model = onnxmltools.convert_xgboost(booster, initial_types=types)
        written = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(written, options), len(written)


def positive(outputs: list[Any]) -> NDArray[np.float64]:
    """Take the positive probability out of what others' graphs give."""
    last = outputs[-1]
    if isinstance(last, list):
        return np.array([row[1] for row in last], dtype=np.float64)
    return np.asarray(last, dtype=np.float64).reshape(len(last), -1)[:, -1]


def compared(name: str, frame: pl.DataFrame, kind: str, n_trees: int) -> list[Figures]:
    """Compare both graphs of one model on one table with its library."""
    contract = contract_of(frame)
    pipeline = fitted(kind, frame, contract, n_trees)
    model = kind if contract.category_features else f"{kind}, numbers"
    rows = asked_rows(frame, contract, 5000)
    x = np.asarray(pipeline[:-1].transform(rows), dtype=np.float64)
    expected = pipeline[-1].predict_proba(x)[:, 1]
    levels = np.unique(expected)
    middle = int(len(levels) * 0.7)
    threshold = float((levels[middle] + levels[middle - 1]) / 2)
    columns = columns_of_frame(contract, rows)
    batch = {column: values[:_BATCH] for column, values in columns.items()}
    try:
        written = save_model(export_pipeline(pipeline, contract))
    except ExportError as error:
        return [Figures(name, model, "tabloop", len(x), None, None, None, None, str(error))]
    predictor = Predictor(written)
    runs: list[Callable[[], object]] = [lambda: predictor.predict(batch)]
    answers = [("tabloop", predictor.predict(columns), len(written))]
    refused, other = "", "its own" if kind == "catboost" else "onnxmltools"
    if kind != "hist_gradient_boosting":
        try:
            session, size = upstream_session(kind, pipeline, x.shape[1])
            narrow = x.astype(np.float32)
            name_in = session.get_inputs()[0].name
            answers.append((other, positive(session.run(None, {name_in: narrow})), size))
            runs.append(lambda: session.run(None, {name_in: narrow[:_BATCH]}))
        except Exception as error:  # the converter raises whatever it comes upon
            refused = f"{type(error).__name__}: {error}".splitlines()[0][:60]
    times = processor_us(runs, _BATCH)
    found = [
        Figures(
            name, model, graph, len(x), float(np.nanmax(np.abs(got - expected))),
            int(((got >= threshold) != (expected >= threshold)).sum()), size / 1000, us,
        )
        for (graph, got, size), us in zip(answers, times, strict=True)
    ]  # fmt: skip
    return found + ([Figures(name, model, other, len(x), None, None, None, None, refused)] if refused else [])


def single_rows(kind: str, frame: pl.DataFrame, n_trees: int) -> tuple[float, float]:
    """Time single rows of a model with categories, and of the same on the numbers alone, in microseconds."""
    runs: list[Callable[[], object]] = []
    for part in (frame, numbers_of(frame)):
        contract = contract_of(part)
        predictor = Predictor(save_model(export_pipeline(fitted(kind, part, contract, n_trees), contract)))
        columns = columns_of_frame(contract, typed_columns(contract, part.head(400)))
        singles = [{name: values[i : i + 1] for name, values in columns.items()} for i in range(400)]

        def run(predictor: Predictor = predictor, singles: list[Any] = singles) -> None:
            for row in singles:
                predictor.predict(row)

        runs.append(run)
    both = processor_us(runs, 400)
    return both[0], both[1]


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000, help="rows of the wide table")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--single", action="store_true", help="single rows alone")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    made = tables(arguments.rows)
    if not arguments.json and not arguments.single:
        figures_head = f"{'max |dp|':>10}{'flips':>7}{'kB':>8}{'us/row':>8}"
        print(f"{'table':15}{'model':24}{'graph':13}{'rows':>7}{figures_head}")
    found = []
    for name, frame in ({} if arguments.single else made).items():
        for kind, part in (*((kind, frame) for kind in KINDS), ("catboost", numbers_of(frame))):
            for figures in compared(name, part, kind, arguments.trees):
                found.append(figures)
                if not arguments.json:
                    print(line_of(figures), flush=True)
    singles = {kind: single_rows(kind, made["wide"], arguments.trees) for kind in KINDS}
    if arguments.json:
        print(json.dumps({"graphs": [asdict(each) for each in found], "single_row_us": singles}))
        return
    for kind, (with_categories, alone) in singles.items():
        print(
            f"{kind}, a single row: {with_categories:.0f} us with 12 categories, "
            f"{alone:.0f} us on the numbers alone, {with_categories / alone:.2f} times"
        )


def line_of(figures: Figures) -> str:
    """Write one line of the table."""
    head = f"{figures.table:15}{figures.model:24}{figures.graph:13}{figures.rows:>7}"
    if figures.max_abs_diff is None:
        return f"{head}  {figures.refused}"
    cost = f"{figures.kilobytes:>8.0f}{figures.us_a_row:>8.2f}"
    return f"{head}{figures.max_abs_diff:>10.1e}{figures.decision_flips:>7}{cost}"


if __name__ == "__main__":
    main()
