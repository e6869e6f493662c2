"""The serving stage: HTTP in front of the champion, several processes behind one port."""
