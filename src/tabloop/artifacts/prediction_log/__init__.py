"""What was answered, one line a prediction, and how it is written, rotated, read and verified."""
