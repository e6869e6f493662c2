"""The folder of runs: their files and hashes, the champion pointer, stored datasets, the prediction log."""
