"""Reports: documents of a run as one file to read, and the blocks that any such page is made of."""
