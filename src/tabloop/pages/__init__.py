"""The pages of the documentation, which the wheel holds: found by topic or words, cited by messages."""
