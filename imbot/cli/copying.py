"""``imbot backup`` and ``imbot restore``: a copy of the store, and back."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from imbot.cli.output import complain
from imbot.cli.settings import load
from imbot.errors import StoreError
from imbot.store.copies import back_up, restore
from imbot.store.database import store_path

_MIB = 1024 * 1024


def backup(copy: Path, path: Path | None, options: Sequence[str] = ()) -> int:
    """Copy the store to a file that is not there yet.

    Raises:
        StoreError: There is no store, it is damaged, or the copy cannot be written.
    """
    loaded = load(path, options)
    size = back_up(loaded.settings.store, copy.absolute(), base=loaded.base, tell=_tell)
    print(f"{copy}: {size / _MIB:.1f} MiB, every row of it as it was written")
    return 0


def put_back(copy: Path, path: Path | None, options: Sequence[str] = ()) -> int:
    """Put a copy in the place of the store; the store that was there is kept beside it.

    Raises:
        StoreError: The copy is none, or an imbot works on the store.
    """
    loaded = load(path, options)
    place = store_path(loaded.settings.store, loaded.base)
    if place is None:
        raise StoreError("store: one in memory has no place for a copy")
    if not copy.is_file():
        raise StoreError(f"{copy}: there is no such file; name what `imbot backup` wrote")
    before = restore(copy.absolute(), place, datetime.now(UTC))
    print(f"{place}: restored from {copy}")
    if before is not None:
        print(f"{before}: what was there; remove it when it is not needed any more")
    complain("what was under way when the copy was made is given up: `imbot parked list` shows it")
    return 0


def _tell(done: int, pages: int) -> None:
    """Tell how far it is, where somebody watches and it takes its time."""
    if sys.stderr.isatty() and pages > done:
        print(f"\r{100 * done // pages:3d} %", end="", file=sys.stderr, flush=True)
    elif sys.stderr.isatty():
        print("\r     \r", end="", file=sys.stderr, flush=True)
