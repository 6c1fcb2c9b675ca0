"""The command line: one module for each group of commands, imported when it is asked for.

Exit codes: 0 done; 1 something is wrong with what was given; 2 wrong usage; 75 the store failed.
"""

from imbot.cli.root import main

__all__ = ["main"]
