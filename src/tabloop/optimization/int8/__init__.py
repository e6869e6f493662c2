"""Graphs in eight bits, and an honest report of what came of it."""
