"""The command line: one module for each group of commands, imported when it is asked for.

Exit codes: 0 done; 1 something is wrong with what was given; 2 wrong usage; 75 the store failed;
130 interrupted.
"""

import signal
import sys

#: Exit code of what Ctrl-C broke off, as shells have it.
EXIT_INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run the command line; end the process with its exit code.

    Ctrl-C before a command listens for it ends imbot without a word: nothing has begun.
    """
    try:
        from imbot.cli.root import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
