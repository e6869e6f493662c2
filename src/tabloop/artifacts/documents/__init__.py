"""What the JSON files of a run hold: one type for each, from which it is written and as which it is read."""
