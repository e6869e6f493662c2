"""Candidates side by side, their calibration, the promised threshold."""
