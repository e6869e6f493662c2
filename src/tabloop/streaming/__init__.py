"""Events in, decisions out: brokers, the consumer between them, and the simulation of its load."""
