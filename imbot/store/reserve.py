"""Room kept free on the disk: where it is full, what is under way can still be written down."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from imbot.errors import StoreFullError

#: The verdicts of tens of thousands of requests.
RESERVE_BYTES = 16 * 1024 * 1024

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Reserve:
    """Holds ``PATH.reserve`` while the store is open."""

    def __init__(self, store: Path, size_bytes: int = RESERVE_BYTES) -> None:
        """Take the room.

        Raises:
            StoreFullError: There is none.
        """
        self._path = reserve_path(store)
        try:
            _fill(self._path, size_bytes)
        except OSError as error:
            self.release()
            if error.errno not in _FULL:
                return  # whatever is wrong with the disk, the store itself will say
            raise StoreFullError(
                f"store {store}: the disk is full; free {size_bytes // 2**20} MiB or more"
            ) from error

    def release(self) -> bool:
        """Give the room back; return whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def has_room(store: Path, size_bytes: int = RESERVE_BYTES) -> bool:
    """Return whether a store can be opened as far as the room for it goes."""
    try:
        Reserve(store, size_bytes).release()
    except StoreFullError:
        return False
    return True


def reserve_path(store: Path) -> Path:
    """Return where the room of a store is kept."""
    return store.with_name(f"{store.name}.reserve")


def _fill(path: Path, size_bytes: int) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size_bytes)
            return
        with suppress(ValueError):  # where there is no such call the room is written
            os.pwrite(file, bytes(size_bytes), 0)
    finally:
        os.close(file)
