"""The whole life of a tabular classifier from one ``config.yaml``."""

import os

__version__ = "0.1.0"

# ONNX Runtime reports what it is used for unless it is told not to; a service that handles other people's
# rows tells nobody, and the report's own messages are no log of ours. Set it to 0 to let it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
