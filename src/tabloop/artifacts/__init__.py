"""Run folders, hashes, lineage and the champion pointer: the only code that opens files in them."""
