"""``imbot erase``: what the store keeps of a phone number or a session goes, down to the bytes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer

from imbot.cli.output import complain, one_line
from imbot.cli.settings import load
from imbot.store.erasing import Eraser, Found, Number, Whom
from imbot.store.queries import existing_path

#: Ends of names of files beside a store in which nothing of anybody is.
_NOT_COPIES = ("-wal", "-shm", ".lock", ".tip", ".reserve", ".starts")


def erase(
    number: str | None,
    session_id: str | None,
    path: Path | None,
    options: Sequence[str] = (),
    *,
    is_sure: bool,
) -> int:
    """Erase, once it is confirmed; return 1 when something had to stay, 2 for wrong usage.

    Args:
        number: Whose rows; None for a session's.
        session_id: Whose rows; None for a number's.
        path: The settings file.
        options: Settings of the command line.
        is_sure: Whether nobody need be asked.

    Raises:
        StoreError: An imbot works on the store, or the store refused.
    """
    if (number is None) is (session_id is None):
        complain("name whom to erase: imbot erase --number NUMBER, or --session ID")
        return 2
    loaded = load(path, options)
    try:
        whom = Whom(None if number is None else Number(number, loaded.settings.country))
    except ValueError as error:
        complain(str(error))
        return 2
    whom = whom._replace(session_id=session_id or "")
    file = existing_path(loaded.settings.store, loaded.base)
    with Eraser(file, datetime.now(UTC)) as eraser:
        found = eraser.find(whom)
        _tell(found, "To be erased")
        if not found.is_nothing:
            if not is_sure and not typer.confirm("Erase it? Nothing brings it back"):
                return 1
            _tell(eraser.erase(whom), "Erased")
    for why in found.kept:
        complain(f"not erased: {one_line(why)}")
    _tell_copies(file)
    return 1 if found.kept else 0


def _tell(found: Found, what: str) -> None:
    if found.is_nothing:
        print("Nothing to be erased is there.")
        return
    mentions = ", ".join(f"{count} of {table}" for table, count in found.mentions.items())
    print(f"{what}: {len(found.sessions)} sessions with all that happened in them")
    for key in found.sessions:
        print(f"  {one_line(key.session_id)} of {one_line(key.agent)}")
    print(f"  rows elsewhere that mention the number: {mentions or 'none'}")
    print(f"  once marks that name it: {found.marks}; they go on to forbid what they forbid")


def _tell_copies(file: Path) -> None:
    """Name the copies that lie beside the store: they are not touched."""
    beside = sorted(each.name for each in file.parent.glob(f"{file.name}?*"))
    for name in beside:
        if not name.endswith(_NOT_COPIES):
            complain(f"{name} may be a copy of the store, and is not touched")
