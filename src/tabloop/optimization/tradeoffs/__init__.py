"""Which variants no other beats."""
