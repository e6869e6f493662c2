"""Rows of databases, and answers into them."""
