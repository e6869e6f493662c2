"""Many machines: runs and pointers in object storage, shipped logs, and one picture of them all."""
