"""Show runs elsewhere: on an MLflow tracking server."""
