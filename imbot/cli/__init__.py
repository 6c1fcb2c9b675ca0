"""The command line: one module for each group of commands, imported when it is asked for."""

import signal
import sys
from collections.abc import Mapping
from typing import Final

#: Exit code for what is asked in a way in which nothing can be done.
EXIT_USAGE: Final = 2
#: Exit code for a store that cannot keep anything; a supervisor may try again. Source: sysexits.
EXIT_STORE: Final = 75
#: Exit code of what Ctrl-C broke off, as shells have it.
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT

#: What each exit code means; imbot ends with no other.
EXIT_CODES: Final[Mapping[int, str]] = {
    0: "done, and nothing wrong",
    1: "something that was given is wrong, a test failed, or a replay differs",
    EXIT_USAGE: "wrong usage, or nothing to do",
    EXIT_STORE: "the store failed; a supervisor may try again later",
    EXIT_INTERRUPTED: "ended at once by Ctrl-C",
}


def main() -> None:
    """Run the command line; end the process with its exit code.

    Ctrl-C before a command listens for it ends imbot without a word: nothing has begun.
    """
    try:
        from imbot.cli.root import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
