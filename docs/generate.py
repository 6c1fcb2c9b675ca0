"""Writes what docs/reference says of imbot from the code itself.

``python docs/generate.py`` replaces what stands between the marks of each page, and writes the JSON
Schemas that the shipped YAML names; tests keep both in step. A page is a module of docs/generator.
"""  # noqa: INP001  a script, not a package

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from docs.generator import (  # noqa: E402  the folder of this script is where Python looks first
    api,
    commands,
    doctor,
    expressions,
    logs,
    metrics,
    outcomes,
    plugins,
    problems,
    rulefiles,
    schemas,
    settings,
    steps,
    templates,
    testfiles,
    triggers,
)
from docs.generator.markdown import filled  # noqa: E402  as above

REFERENCE = ROOT / "docs" / "reference"

#: What stands between the marks of each page.
PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "api.md": api.page,
    "cli.md": commands.page,
    "doctor.md": doctor.page,
    "expressions.md": expressions.page,
    "logs.md": logs.page,
    "metrics.md": metrics.page,
    "outcomes.md": outcomes.page,
    "plugins.md": plugins.page,
    "problems.md": problems.page,
    "rule-files.md": rulefiles.page,
    "settings.md": settings.page,
    "steps.md": steps.page,
    "templates.md": templates.page,
    "test-files.md": testfiles.page,
    "triggers.md": triggers.page,
}


def main() -> None:
    """Write every page and every schema anew."""
    for name, lines in PAGES.items():
        page = REFERENCE / name
        page.write_text(filled(page.read_text(), lines()))
    for path, text in schemas.files():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
