"""The steps that are fitted for a candidate: what is learned before the classifier, and the classifier."""

from __future__ import annotations

from sklearn.pipeline import Pipeline

from tabloop.config.preprocessing import PreprocessingConfig
from tabloop.config.training import Candidate
from tabloop.contract.contract import Contract
from tabloop.training.candidates import build_classifier
from tabloop.training.family import family_of
from tabloop.training.preprocessing import build_preprocessor, code_places


def build_steps(
    candidate: Candidate, preprocessing: PreprocessingConfig, contract: Contract, seed: int
) -> Pipeline:
    """Build the steps of a candidate, each family of models with the preprocessing that suits it.

    Returns
    -------
    steps : sklearn.pipeline.Pipeline
        Unfitted, with the steps preprocess and classifier; from the frame of `feature_frame`.
    """
    family = family_of(candidate)
    return Pipeline(
        [
            ("preprocess", build_preprocessor(preprocessing, contract, family, seed=seed)),
            ("classifier", build_classifier(candidate, seed, code_places(preprocessing, contract, family))),
        ]
    )
