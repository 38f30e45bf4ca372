"""The command line. Exit codes: 0 done, 1 the study says no, 2 the user erred, 3 something outside failed."""

from foldover.cli.main import app, main

__all__ = ["app", "main"]
