"""What tests take from the machine: a user's may lack it, and then they are skipped; CI may not."""

import os
import shutil
import time
from pathlib import Path
from typing import NoReturn

import pytest


def program(*names: str, package: str) -> str:
    """Return where the first of these programs is that there is; Debian has it in the package."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or lacks(f"{names[0]} is not installed (Debian: {package})")


def own_s() -> float:
    """Return seconds on a clock that stands still while this machine's processors are not its own.

    The host of a virtual machine may give them to its neighbours, and Linux tells for how long
    ("steal" in /proc/stat): what a person waits on a machine that has them is what counts.
    """
    try:
        words = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)
        stolen_s = int(words[8]) / os.sysconf("SC_CLK_TCK") / (os.cpu_count() or 1)
    except OSError:
        stolen_s = 0.0
    return time.monotonic() - stolen_s


def waited_for_a_cpu_s(pid: int | str) -> float:
    """Return how long a process could have gone on while others were in its place."""
    try:
        _, waited_ns, _ = Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()
    except OSError:
        return 0.0
    return int(waited_ns) / 1e9


def lacks(what: str) -> NoReturn:
    """End a test that cannot be played here."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must play this test: {what}", pytrace=False)
    pytest.skip(what)
