"""What `scores.npz` holds: labels and the winner's probabilities, for another threshold without training."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tabloop.artifacts.documents.document import FORMAT_VERSION
from tabloop.errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RunScores:
    """Labels and probabilities of a run's winner.

    Attributes
    ----------
    judging : ndarray of bool, shape (n_train,)
        Which training rows the threshold may be chosen on: those that were scored out-of-fold and that no
        search for settings has seen.
    y_train, y_test : ndarray of int8
        Labels of both parts, in the order of the split.
    oof_proba : ndarray of float64, shape (n_train,)
        Out-of-fold, calibrated as the pipeline's are.
    test_proba : ndarray of float64, shape (n_test,)
        The fitted pipeline's probabilities of the test rows.
    """

    judging: NDArray[np.bool_]
    y_train: NDArray[np.int8]
    oof_proba: NDArray[np.float64]
    y_test: NDArray[np.int8]
    test_proba: NDArray[np.float64]

    def save(self, file: BinaryIO) -> None:
        """Write them, without a single pickled object."""
        np.savez_compressed(
            file,
            allow_pickle=False,
            format_version=np.array(FORMAT_VERSION),
            judging=self.judging,
            y_train=self.y_train,
            oof_proba=self.oof_proba,
            y_test=self.y_test,
            test_proba=self.test_proba,
        )

    @classmethod
    def load(cls, content: bytes) -> RunScores:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If the content is something else.

        Examples
        --------
        >>> labels, scores = np.array([0, 1], np.int8), np.array([0.1, 0.9])
        >>> file = io.BytesIO()
        >>> RunScores(labels == 1, labels, scores, labels, scores).save(file)
        >>> RunScores.load(file.getvalue()).oof_proba.tolist()
        [0.1, 0.9]
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                version = held["format_version"].item()
                if version != FORMAT_VERSION:
                    raise ArtifactError(
                        f"scores.npz: got format_version {version}, expected {FORMAT_VERSION}; "
                        "train a new run"
                    )
                return cls(
                    held["judging"], held["y_train"], held["oof_proba"], held["y_test"], held["test_proba"]
                )
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"scores.npz: cannot be read: {error}; train a new run") from error
