"""`imbot demo` as a process of its own, for people with a browser."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

_UP_S = 60.0
_END_S = 30.0
_SAID = re.compile(
    r"Open (?P<chat>http\S+) .*Look inside and steer at (?P<inside>http\S+)/login#(?P<token>\S+)"
    r".*terminal:  cd (?P<folder>\S+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that runs.

    Attributes:
        chat: Address of the page on which a person is the other party.
        inside: Where it is looked into and steered, without a slash at the end.
        token: May do everything there.
        folder: Where the commands of imbot find its settings.
    """

    chat: str
    inside: str
    token: str
    folder: Path

    @property
    def login(self) -> str:
        """The address that the demo prints."""
        return f"{self.inside}/login#{self.token}"


@asynccontextmanager
async def demo(*words: str) -> AsyncIterator[Demo]:
    """Run a demo with these options of its own; it is up when the block begins."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "imbot", "demo", "--admin-port", "0", *words),
        env={name: value for name, value in os.environ.items() if not name.startswith("IMBOT_")},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said = ""
        async with asyncio.timeout(_UP_S):
            while (found := _SAID.search(said)) is None:
                line = await process.stdout.readline()
                assert line, said
                said += line.decode()
        rest = asyncio.create_task(process.stdout.read())  # or it waits for somebody to read
        yield Demo(found["chat"], found["inside"], found["token"], Path(found["folder"]))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(_END_S):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            raise
    said = (await rest).decode()
    # 1 where somebody was not served, which is what people who steer it may want.
    assert code in {0, 1}, said[-2000:]
    assert "Traceback" not in said, said[-2000:]
