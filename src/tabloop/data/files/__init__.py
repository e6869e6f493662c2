"""Rows of CSV and Parquet files."""
