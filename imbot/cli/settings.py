"""The settings in force, as every command that needs them asks for them."""

import os
from collections.abc import Sequence
from pathlib import Path

from imbot.cli.output import print_problems
from imbot.config import Loaded, load_settings


def load(path: Path | None, options: Sequence[str] = ()) -> Loaded:
    """Return the settings in force.

    Raises:
        ConfigError: With every mistake in them.
    """
    return load_settings(path, environment=os.environ, options=options)


def load_and_warn(path: Path | None, options: Sequence[str] = ()) -> Loaded:
    """Return the settings in force, as :func:`load`; their warnings go to standard error."""
    loaded = load(path, options)
    print_problems(loaded.warnings, to_stderr=True)
    return loaded
