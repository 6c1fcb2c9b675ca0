"""Settings files for tests: written, read, and their mistakes as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from imbot.config import Loaded, load_settings
from imbot.errors import ConfigError

#: The least that settings must say.
LEAST = """\
gws: {url: "https://gws.example:8090"}
agents:
  - {user: bot1, auth: {bearer: "${env:TOKEN}"}}
"""

_ENVIRONMENT = {"TOKEN": "t0ken"}


def read(
    folder: Path,
    text: str = LEAST,
    *,
    environment: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    **files: str | bytes,
) -> Loaded:
    """Return the settings of a text; ``agents_csv="…"`` is written to ``agents.csv`` beside it."""
    path = folder / "imbot.yaml"
    path.write_text(text)
    for name, content in files.items():
        beside = folder / name.replace("_", ".")
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
    around = {**_ENVIRONMENT, **(environment or {})}
    no_folder = folder / "no-secrets"
    return load_settings(path, environment=around, options=options, secrets_folder=no_folder)


def mistakes(folder: Path, text: str = LEAST, **given: object) -> list[str]:
    """Return the mistakes of a text, one line each, without the folder."""
    try:
        read(folder, text, **given)  # type: ignore[arg-type]  passed on as they are
    except ConfigError as error:
        return [str(problem).replace(f"{folder}/", "") for problem in error.problems]
    return []


def warnings(loaded: Loaded) -> list[str]:
    """Return the warnings, one line each, without the folder."""
    return [str(problem).replace(f"{loaded.base}/", "") for problem in loaded.warnings]
