"""Reports: documents of a run, or of a period of production, as one file to read."""
