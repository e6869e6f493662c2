"""Make rows that the contract accepts."""
