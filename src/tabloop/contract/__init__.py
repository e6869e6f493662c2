"""The contract: columns, row rules and formulas, stated once and used everywhere."""
