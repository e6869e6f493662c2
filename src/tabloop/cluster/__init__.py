"""A Ray cluster: joining it, and what it offers."""
