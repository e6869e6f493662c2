"""The predictor: columns in, probabilities out, and a clear answer to columns that do not fit."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from tabloop.errors import ArtifactError, ArtifactMissingError, DataError
from tabloop.inference.predictor import CHUNK_ROWS, Predictor
from tabloop.optimization.export.graph import OnnxGraph
from tabloop.optimization.export.pipeline import save_model
from tabloop.optimization.export.preprocessing import GraphColumns


def small_model(**metadata: str) -> bytes:
    """days + hours where the row is premium and has a country, else days."""
    graph = OnnxGraph({"days": "int64", "hours": "double", "premium": "bool", "country": "string"})
    columns = GraphColumns(graph)
    counts = graph.add("And", "premium", graph.add("Not", columns.is_null("country")))
    days = columns.number("days")
    model = graph.model(graph.add("Where", counts, graph.add("Add", days, "hours"), days), "probability")
    onnx.helper.set_model_props(model, metadata)
    return save_model(model)


def small_columns(n_rows: int) -> dict[str, NDArray[Any]]:
    number = np.arange(n_rows)
    return {
        "days": number,
        "hours": number / 7,
        "premium": number % 2 == 0,
        "country": np.where(number % 3 == 0, "", "Zürich").astype(object),
    }


def expected(columns: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    counts = columns["premium"] & (columns["country"] != "")
    return np.where(counts, columns["days"] + columns["hours"], columns["days"])


@pytest.mark.parametrize("n_rows", [0, 1, 2, CHUNK_ROWS, CHUNK_ROWS + 1, 3 * CHUNK_ROWS + 5])
def test_any_number_of_rows_is_answered_in_order(n_rows: int) -> None:
    columns = small_columns(n_rows)
    probability = Predictor(small_model()).predict(columns)
    assert probability.dtype == np.float64
    assert probability.shape == (n_rows,)
    np.testing.assert_array_equal(probability, expected(columns))


def test_the_bytes_of_the_file_are_not_kept() -> None:
    model = small_model()
    before = sys.getrefcount(model)
    predictor = Predictor(model)
    assert sys.getrefcount(model) == before
    assert predictor.predict(small_columns(3)).shape == (3,)


def test_any_number_of_records_is_scored_unchecked_as_checked() -> None:
    n_rows = 2 * CHUNK_ROWS + 3
    columns = small_columns(n_rows)
    feed = {name: values.reshape(-1, 1) for name, values in columns.items()}
    np.testing.assert_array_equal(Predictor(small_model()).run(feed), expected(columns))


def test_equivalent_arrays_are_taken() -> None:
    columns = small_columns(10)
    predictor = Predictor(small_model(), threads=2)
    equal = columns | {
        "days": columns["days"].astype(np.int16)[:, None],
        "hours": columns["hours"].reshape(10, 1)[::1],
        "country": columns["country"].astype(str),
        "more": np.zeros(3),
    }
    np.testing.assert_array_equal(predictor.predict(equal), expected(columns))
    whole = columns | {"hours": np.arange(10)}
    np.testing.assert_array_equal(predictor.predict(whole), expected(whole))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"days": None}, "column days: missing"),
        ({"days": np.zeros(4)}, "column days: got float64, expected int64 values"),
        ({"hours": np.array(["1"] * 4)}, "column hours: got <U1, expected double values"),
        ({"premium": np.ones(4, dtype=int)}, "column premium: got int64, expected bool values"),
        ({"country": np.array(["DE", None, "DE", "DE"], dtype=object)}, "column country: got object"),
        ({"country": np.array(["DE", np.nan, "DE", "DE"], dtype=object)}, "column country: got object"),
        ({"country": np.array([b"DE"] * 4)}, "column country: got |S2, expected string values"),
        ({"hours": np.zeros((4, 2))}, "column hours: got shape (4, 2), expected (n_rows,)"),
        ({"hours": np.float64(1.0)}, "column hours: got shape (), expected (n_rows,)"),
        ({"hours": np.zeros(3)}, "different numbers of rows: days 4, hours 3, premium 4, country 4"),
    ],
)
def test_columns_that_do_not_fit_are_named(changed: dict[str, Any], said: str) -> None:
    columns = {name: array for name, array in (small_columns(4) | changed).items() if array is not None}
    with pytest.raises(DataError) as caught:
        Predictor(small_model()).predict(columns)
    assert said in str(caught.value)


def test_all_problems_are_in_one_message() -> None:
    with pytest.raises(
        DataError, match=r"(?s)days: missing.*hours: got bool|days: missing.*premium: missing"
    ):
        Predictor(small_model()).predict({"country": np.array(["DE"])})


def test_metadata_and_threshold_come_from_the_file() -> None:
    predictor = Predictor(small_model(run_id="r1", decision_threshold="0.30000000000000004"))
    assert predictor.metadata == {"run_id": "r1", "decision_threshold": "0.30000000000000004"}
    assert predictor.threshold == 0.1 + 0.2
    assert Predictor(small_model()).threshold is None
    assert dict(predictor.input_types) == {
        "days": "int64",
        "hours": "double",
        "premium": "bool",
        "country": "string",
    }


def test_a_file_that_is_no_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match=r"gone\.onnx: no such file"):
        Predictor(tmp_path / "gone.onnx")
    (tmp_path / "broken.onnx").write_bytes(small_model()[:-40])
    with pytest.raises(ArtifactError, match=r"broken\.onnx: ONNX Runtime cannot load it"):
        Predictor(tmp_path / "broken.onnx")
    with pytest.raises(ArtifactError, match="the model: ONNX Runtime cannot load it"):
        Predictor(b"not a model")


def test_threads_may_share_a_predictor() -> None:
    predictor = Predictor(small_model())
    asked = [small_columns(n) for n in range(1, 200)]
    with ThreadPoolExecutor(4) as pool:
        for columns, answer in zip(asked, pool.map(predictor.predict, asked), strict=True):
            np.testing.assert_array_equal(answer, expected(columns))


def test_serving_imports_no_training_library() -> None:
    code = (
        "import sys, tabloop.inference.predictor, tabloop.inference.records.frame_columns\n"
        "found = {'sklearn', 'polars', 'onnx', 'skl2onnx', 'joblib', 'scipy', 'pandas'} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_runtime_reports_to_nobody() -> None:
    code = "import os, tabloop.inference.predictor; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environ = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_chunks_side_by_side_change_no_bit() -> None:
    columns = small_columns(4 * CHUNK_ROWS + 7)
    alone, together = (Predictor(small_model(), calls=calls).predict(columns) for calls in (1, 3))
    assert len(alone) == 4 * CHUNK_ROWS + 7
    assert len(np.unique(alone)) > CHUNK_ROWS
    assert (alone == together).all()
