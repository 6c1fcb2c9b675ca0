"""What tests take from the machine: a user's may lack it, and then they are skipped; CI may not."""

import os
import shutil
from typing import NoReturn

import pytest


def program(*names: str, package: str) -> str:
    """Return where the first of these programs is that there is; Debian has it in the package."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or lacks(f"{names[0]} is not installed (Debian: {package})")


def lacks(what: str) -> NoReturn:
    """End a test that cannot be played here."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must play this test: {what}", pytrace=False)
    pytest.skip(what)
