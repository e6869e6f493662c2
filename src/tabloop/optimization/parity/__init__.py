"""Whether a graph answers as the pipeline does."""
