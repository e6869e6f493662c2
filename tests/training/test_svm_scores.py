from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.svm import SVC

from tabloop.training import svm_scores as module
from tabloop.training.svm_scores import svm_scores


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("most_features", [300, 1])
def test_the_values_are_those_of_libsvm(
    monkeypatch: pytest.MonkeyPatch, sparse: bool, most_features: int
) -> None:
    """Also over many chunks, with rows far away from all others, and where libsvm itself is asked."""
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", 1_000)
    monkeypatch.setattr(module, "_MOST_FEATURES", most_features)
    rng = np.random.default_rng(3)
    X = rng.standard_t(2, (700, 6)) * (rng.random((700, 6)) < 0.5)
    y = (X[:, 0] + rng.normal(size=700) > 0).astype(np.int8)
    rows = csr_matrix(X) if sparse else X
    svm = SVC(C=2.0).fit(rows[:400], y[:400])
    found, expected = svm_scores(svm, rows[400:]), svm.decision_function(rows[400:])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
