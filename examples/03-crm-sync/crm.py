"""The small CRM of this example: three customers, kept in memory, on port 8092."""

import asyncio
import contextlib

from imbot.simulator.crm import Crm


async def main() -> None:
    """Serve until Ctrl-C."""
    async with Crm(port=8092) as crm:
        print(f"CRM at {crm.url}, customers 3001, 3002 and 3003; Ctrl-C stops it.", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
