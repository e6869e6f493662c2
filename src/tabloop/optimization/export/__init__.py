"""A fitted pipeline as an ONNX graph from raw columns."""
