"""``imbot store check``: whether a store is as imbot wrote it, and what is in quarantine."""

from collections.abc import Sequence
from pathlib import Path

from imbot.cli.output import complain, print_table
from imbot.cli.settings import load
from imbot.errors import StoreDamagedError
from imbot.store.looking import look

_COLUMNS = ("table", "row", "what", "when", "values")


def check(path: Path | None, options: Sequence[str] = (), *, as_json: bool = False) -> int:
    """List what is wrong and what is in quarantine; return 1 when anything is wrong now.

    Raises:
        StoreError: There is no store, or it cannot be read.
    """
    loaded = load(path, options)
    try:
        seen = look(loaded.settings.store, base=loaded.base)
    except StoreDamagedError as error:
        complain(error)
        return 1
    found = [(row.table, row.key, "damaged", None, row.values) for row in seen.damaged]
    kept = [(row.table, row.key, row.reason, row.at, row.values) for row in seen.quarantined]
    print_table("Store", _COLUMNS, [*found, *kept], as_json=as_json)
    for told in seen.indices:
        complain(f"{told}; the next start builds it anew")
    if not (found or seen.indices) and not as_json:
        complain("the rest is as it was written" if kept else "all is as it was written")
    return 1 if found or seen.indices else 0
