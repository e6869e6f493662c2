"""Latency, throughput, memory and accuracy of a model in each of its forms, with intervals."""
