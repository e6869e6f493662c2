"""Events at a made-up rate, and what the way through the consumer costs."""
