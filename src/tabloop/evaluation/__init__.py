"""What a model does on rows that it has not seen, in figures to be drawn."""
