"""Guess the config of a table that nobody has described yet."""
