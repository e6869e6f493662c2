"""Settings: typed, frozen, closed sections and how they are loaded."""
