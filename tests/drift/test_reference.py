from __future__ import annotations

import io
import zipfile
from dataclasses import fields
from typing import Any

import numpy as np
import polars as pl
import pytest

from tabloop.contract.contract import Contract
from tabloop.contract.feature_table import feature_frame
from tabloop.drift.reference import DriftReference, build_drift_reference
from tabloop.errors import ArtifactError, TooFewRowsError


def saved(reference: DriftReference) -> bytes:
    file = io.BytesIO()
    reference.save(file)
    return file.getvalue()


def altered(content: bytes, **arrays: Any) -> bytes:
    with np.load(io.BytesIO(content)) as held:
        parts = dict(held)
    file = io.BytesIO()
    np.savez(file, **{k: v for k, v in (parts | arrays).items() if v is not None})
    return file.getvalue()


def test_what_is_saved_is_loaded(reference: DriftReference) -> None:
    loaded = DriftReference.load(saved(reference))
    for field in fields(DriftReference):
        ours, theirs = getattr(reference, field.name), getattr(loaded, field.name)
        if isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs


def test_nothing_in_the_file_is_pickled(reference: DriftReference) -> None:
    with zipfile.ZipFile(io.BytesIO(saved(reference))) as file:
        for name in file.namelist():
            np.lib.format.read_array(io.BytesIO(file.read(name)), allow_pickle=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format_version": np.array(9)}, "got format_version 9, expected 1"),
        ({"y_proba": np.zeros(3)}, r"y_proba: got shape \(3,\)"),
        ({"codes": np.full((4000, 1), 77)}, "country: a code outside its vocabulary"),
        ({"numeric": None}, "numeric is not a file"),
        ({"vocabulary_0": np.array([None], dtype=object)}, "allow_pickle=False"),
    ],
)
def test_a_reference_that_is_none_is_refused(
    reference: DriftReference, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ArtifactError, match=said):
        DriftReference.load(altered(saved(reference), **change))
    with pytest.raises(ArtifactError, match="cannot be read"):
        DriftReference.load(saved(reference)[:-40])
    with pytest.raises(ArtifactError, match="cannot be read"):
        DriftReference.load(b"")


def test_the_training_rows_are_kept(contract: Contract, students: pl.DataFrame) -> None:
    frame = feature_frame(contract, students)
    y = students["purchased"].to_numpy()
    proba = np.linspace(0, 1, len(y))
    kept = build_drift_reference(contract, frame, y, proba, max_rows=20_000, seed=1)
    assert kept.n_rows == kept.training_rows == len(y)
    assert kept.numeric_features[-1] == "learning_consistency"
    np.testing.assert_array_equal(kept.numeric[:, 0], frame["days_on_platform"].to_numpy())
    words = [kept.vocabulary[0][code] for code in kept.codes[:, 0]]
    assert words == frame["student_country"].to_list()
    some = build_drift_reference(contract, frame, y, proba, max_rows=500, seed=1)
    again = build_drift_reference(contract, frame, y, proba, max_rows=500, seed=1)
    assert some.n_rows == 500
    assert some.training_rows == len(y)
    assert abs(some.y_true.mean() - y.mean()) < 1 / 500
    np.testing.assert_array_equal(some.y_proba, again.y_proba)
    with pytest.raises(TooFewRowsError):
        build_drift_reference(contract, frame.head(0), y[:0], proba[:0], max_rows=500, seed=1)
