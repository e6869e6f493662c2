"""Rows as they come from outside, JSON or frames, made into the columns of the graph."""
