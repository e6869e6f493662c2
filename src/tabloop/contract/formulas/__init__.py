"""The language of features and row rules: text to tokens to tree, and what a tree computes."""
