"""A stop takes seconds, whatever a plugin has left running."""

import asyncio
import subprocess
import sys
import time

import pytest

from imbot.cli.ending import Ending

CODE = """
import asyncio, sys, threading, time
from imbot.cli.running import on_loop
from imbot.logs import configure_logs
configure_logs("info", "json")

async def stubborn():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def serve():
    {leaves}
    await asyncio.sleep(0.1)
    print("served")
    return 3

sys.exit(on_loop(serve()))
"""


@pytest.mark.parametrize(
    ("leaves", "told"),
    [
        ("pass", ""),
        ("left.append(asyncio.create_task(asyncio.sleep(3600)))", ""),
        ("left.append(asyncio.create_task(stubborn(), name='crm'))", "imbot.tasks_left"),
        (
            "asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)",
            "imbot.threads_left",
        ),
    ],
)
def test_the_process_ends_with_its_code_and_all_that_it_wrote(leaves, told):
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603  our own code
        [sys.executable, "-c", "left = []\n" + CODE.format(leaves=leaves)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert (done.returncode, done.stdout) == (3, "served\n")
    assert told in done.stderr
    assert told or not done.stderr
    assert time.monotonic() - began < 30


async def test_what_is_left_is_ended_before_the_loop():
    ended = []

    async def left_behind():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(True)

    async def work():
        tasks.append(asyncio.create_task(left_behind()))
        await asyncio.sleep(0)
        return 0

    tasks, ending = [], Ending()
    others = asyncio.all_tasks()
    assert others == {asyncio.current_task()}
    assert await ending.after(work()) == 0
    assert ended == [True]
    assert ending.is_whole
