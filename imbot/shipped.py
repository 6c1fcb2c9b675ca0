"""Where the plugins and rules that ship with imbot are: inside the wheel, or beside the package."""

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def shipped(what: Literal["plugins", "rules"], package: Path = _PACKAGE) -> Path:
    """Return the folder of what ships, from a checkout, an editable install or a wheel.

    Args:
        what: Which.
        package: The folder of the package ``imbot``.
    """
    inside = package / "_shipped" / what
    return inside if inside.is_dir() else package.parent / what
