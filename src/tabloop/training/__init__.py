"""The training stage: candidates, cross-validation, calibration, threshold, reports."""
