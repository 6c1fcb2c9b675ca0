"""``python -m imbot``."""

from imbot.cli import main

main()
