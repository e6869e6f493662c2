"""Events in, decisions out, each event decided once."""
