"""`python -m foldover`: the command line."""

from foldover.cli import main

if __name__ == "__main__":
    main()
