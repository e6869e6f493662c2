"""The optimization stage: the exact ONNX graph of a model, its quantised form, and what they cost."""
