"""The store, beside a running imbot or without one; read, and never written."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from imbot.doctor.findings import Finding
from imbot.errors import StoreDamagedError, StoreError
from imbot.records import EchoesLearnt
from imbot.store.database import store_path
from imbot.store.lock import is_used
from imbot.store.looking import look
from imbot.store.migrations import OlderStoreError
from imbot.store.queries import open_views
from imbot.store.reserve import RESERVE_BYTES

#: Less free space is worth a warning; with less than what the store reserves it does not begin.
LITTLE_BYTES = 2**30

_MIB = 2**20
#: The store's file and what stands beside it. Source: reliability 4.6: each is for imbot alone.
_BESIDE = ("", "-wal", "-shm", ".lock", ".tip", ".reserve")
_OTHERS = 0o077
#: An echo that takes longer is rare, and what it costs is time.
_SLOW_S = 30.0


def folder(url: str, base: Path) -> Finding:
    """Return whether the store's folder can be written to and has room.

    Raises:
        ConfigError: The URL names no store that imbot knows.
    """
    path = store_path(url, base)
    if path is None:
        cure = "name a file: store: sqlite:///imbot.db"
        return Finding.warning("the store is in memory and ends with imbot", cure)
    place = path.parent
    if not place.is_dir():
        return Finding.failed(f"{place} is no folder", f"make it: mkdir -p {place}")
    if not os.access(place, os.W_OK | os.X_OK):
        cure = f"give it to the user that runs imbot: chown that-user {place}"
        return Finding.failed(f"{place} may not be written to by this user", cure)
    free_bytes = shutil.disk_usage(place).free
    told = f"{place}: {free_bytes // _MIB} MiB are free"
    cure = "free some space, or move the store to another disk"
    if free_bytes < RESERVE_BYTES:
        return Finding.failed(f"{told}, and imbot keeps {RESERVE_BYTES // _MIB} in reserve", cure)
    if free_bytes < LITTLE_BYTES:
        return Finding.warning(told, cure)
    return Finding.ok(told)


def permissions(url: str, base: Path) -> list[Finding]:
    """Return which files of the store others can get at.

    Raises:
        ConfigError: The URL names no store that imbot knows.
    """
    path = store_path(url, base)
    there = [] if path is None else [path.with_name(path.name + suffix) for suffix in _BESIDE]
    modes = {each: each.stat().st_mode & 0o777 for each in there if each.is_file()}
    open_ones = [each for each, mode in modes.items() if mode & _OTHERS]
    if open_ones:
        told = [f"{each} can be reached by others ({modes[each]:04o})" for each in open_ones]
        return list(map(Finding.warning, told, [f"chmod 600 {each}" for each in open_ones]))
    return [Finding.ok(f"{len(modes)} files, for their owner alone" if modes else "no file yet")]


def soundness(url: str, base: Path) -> list[Finding]:
    """Return what is wrong in the store; see :func:`imbot.store.looking.look`.

    Raises:
        ConfigError: The URL names no store that imbot knows.
    """
    if not is_begun(url, base):
        return [Finding.ok("there is none yet; the first start makes it")]
    try:
        seen = look(url, base=base)
    except StoreDamagedError as error:
        cure = "restore a backup (imbot restore), or set store_on_damage: fresh"
        return [Finding.failed(str(error), cure)]
    except OlderStoreError as error:
        cure = "nothing but a backup: the next start brings it up to date"
        return [Finding.hint(str(error), cure)]
    except StoreError as error:
        return [Finding.failed(str(error), "see what it says; docs/guide/store.md tells more")]
    findings = []
    if seen.damaged or seen.indices:
        told = f"{len(seen.damaged)} rows and {len(seen.indices)} indices are not as written"
        cure = "start imbot anew, which puts bad rows into quarantine; imbot store check shows them"
        findings.append(Finding.warning(told, cure))
    if seen.quarantined:
        cure = "look at them with imbot store check, and at the disk"
        findings.append(Finding.warning(f"{len(seen.quarantined)} rows are in quarantine", cure))
    used = "an imbot uses it now" if is_in_use(url, base) else "no imbot uses it now"
    return findings or [Finding.ok(f"all is as it was written; {used}")]


def echoes(url: str, base: Path) -> Finding:
    """Return what imbot has learnt of this GWS's echoes. Source: contract 9.3; 8, row 7.

    Raises:
        ConfigError: The URL names no store that imbot knows.
        StoreError: It cannot be read.
    """
    learnt = None
    with suppress(OlderStoreError):
        learnt = _learnt(url, base)
    if learnt is None or not (learnt.are_heard or learnt.are_missing):
        cure = "let it say some replies and look again; until then it waits for echoes"
        return Finding.hint("unknown: imbot has not said enough yet", cure)
    if learnt.are_missing:
        cure = "ask for own messages to be sent back to the sender (IMLogUpdateMessage)"
        told = "missing: a reply in doubt can never be proven, and is parked"
        return Finding.warning(told, cure)
    if learnt.longest_s > _SLOW_S:
        cure = "find out why GWS is slow: imbot waits three times as long for a reply in doubt"
        return Finding.hint(f"heard; the slowest took {learnt.longest_s:.1f} s", cure)
    return Finding.ok(f"heard; the slowest took {learnt.longest_s:.1f} s")


def _learnt(url: str, base: Path) -> EchoesLearnt | None:
    if not is_begun(url, base):
        return None
    with open_views(url, base=base) as views:
        return views.echoes()


def is_begun(url: str, base: Path) -> bool:
    """Return whether there is a store yet.

    Raises:
        ConfigError: The URL names no store that imbot knows.
    """
    path = store_path(url, base)
    return path is not None and path.exists()


def is_in_use(url: str, base: Path) -> bool:
    """Return whether an imbot of this machine uses the store now.

    Raises:
        ConfigError: The URL names no store that imbot knows.
    """
    path = store_path(url, base)
    return path is not None and is_used(path)
