"""Whether rows still look like the training rows: the z-score rule and the windowed tests."""
