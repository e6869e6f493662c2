"""The command line: doors only, each parses, calls and renders."""

from tabloop.cli.main import main

__all__ = ["main"]
