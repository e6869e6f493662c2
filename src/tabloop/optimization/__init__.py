"""From a fitted pipeline to an exact graph, and what its forms cost."""
