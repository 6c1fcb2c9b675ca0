"""Asks the imbot of this container whether it serves; ends with 0 when it does, else with 1.

Not a command of imbot: it runs every half minute, and so imports next to nothing.
"""  # noqa: INP001  a script, not a package

import http.client
import os
import sys

#: Where imbot listens for operators, unless the environment has set it.
_LISTEN = "127.0.0.1:8081"
_TIMEOUT_S = 4.0
#: Addresses to listen on at all addresses; asked is the nearest.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  nothing listens here


def main() -> int:
    """Ask, tell what was answered, and return the exit code."""
    listen = os.environ.get("IMBOT_ADMIN__LISTEN", _LISTEN)
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    asked = http.client.HTTPConnection(_EVERYWHERE.get(host, host), int(port), timeout=_TIMEOUT_S)
    try:
        asked.request("GET", "/health")
        reply = asked.getresponse()
        told = reply.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        print(f"nobody answers at {listen}: {error}")  # noqa: T201  Docker keeps what it says
        return 1
    finally:
        asked.close()
    print(told)  # noqa: T201  as above
    return 0 if reply.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main())
