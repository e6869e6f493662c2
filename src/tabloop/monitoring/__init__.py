"""Follow the prediction log: the fold over it, the process that answers from it, alarms."""
