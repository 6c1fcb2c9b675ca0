"""Where the plugins and rules that ship with imbot are: inside the wheel, or beside the package."""

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def shipped(what: Literal["plugins", "rules"]) -> Path:
    """Return the folder of what ships, from a checkout, an editable install or a wheel."""
    inside = _PACKAGE / "_shipped" / what
    return inside if inside.is_dir() else _PACKAGE.parent / what
