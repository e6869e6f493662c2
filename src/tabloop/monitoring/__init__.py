"""The monitoring stage: what the training rows looked like, and whether served rows still do."""
