"""What really happened to predicted rows, as it is handed in later: one outcome a prediction."""
