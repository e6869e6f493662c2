"""What is wrong with this machine, this installation or this project, and how it is mended."""
