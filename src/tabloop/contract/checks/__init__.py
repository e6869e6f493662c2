"""Hold rows against the contract: a table of them, or one JSON record."""
