"""Rows in, decisions out: the exported graph, batching, following the champion."""
