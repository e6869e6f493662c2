"""What a valid row is, stated once: columns, row rules, formulas, target; nothing here knows a model."""
