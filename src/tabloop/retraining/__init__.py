"""Evidence, trigger, data, and what a challenger has to show."""
