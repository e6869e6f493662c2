"""Sources of rows, the check that they pass, and the split."""
