"""The data stage: sources, quarantine, split, and the synthetic students."""
