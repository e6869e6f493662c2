"""Intervals and comparisons that several stages use."""
