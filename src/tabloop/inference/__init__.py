"""Scoring with the exported graph: rows in, probabilities out, without scikit-learn."""
