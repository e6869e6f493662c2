"""`python -m tabloop`: the command line."""

from tabloop.cli import main

if __name__ == "__main__":
    main()
