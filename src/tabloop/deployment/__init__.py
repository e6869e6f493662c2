"""The HTTP service: supervisor, workers, what every request passes."""
