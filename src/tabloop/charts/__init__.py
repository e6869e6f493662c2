"""Charts: typed values in, SVG out, with the table of what is drawn; no room draws otherwise."""
