"""One imbot at a time on one store: a lock file beside it, held as long as the store is open."""

import fcntl
import os
from pathlib import Path

from imbot.errors import StoreError


class StoreLock:
    """Holds ``PATH.lock``; the operating system lets go of it when the process dies."""

    def __init__(self, store: Path) -> None:
        """Take the lock.

        Raises:
            StoreError: Another process holds it, or the file cannot be written.
        """
        path = store.with_name(f"{store.name}.lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"store {store}: its lock file cannot be opened ({error.strerror}); "
                "check that the folder exists and may be written to"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise StoreError(
                f"store {store}: another imbot uses it"
                f"{f' (process {holder})' if holder else ''}; stop that one or name another store"
            ) from error
        os.truncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; afterwards another may hold it."""
        # The file stays: who waits for it may have it open, and a new one would be another lock.
        os.close(self._file)


def is_used(store: Path) -> bool:
    """Return whether an imbot works on this store now."""
    try:
        file = os.open(store.with_name(f"{store.name}.lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False
