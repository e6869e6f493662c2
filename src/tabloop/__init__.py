"""The whole life of a tabular classifier from one ``config.yaml``."""

__version__ = "0.1.0"
