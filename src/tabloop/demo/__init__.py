"""A folder to play with: a small table, a config that explains itself, and what to try."""
