"""Bots that talk to bots stop; people who talk to a bot are never taken for one."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from imbot.engine.guard import LoopGuard
from imbot.model import SessionKey
from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.settings import AgentAccount
from imbot.testing.house import build
from tests.wire.house import running, tell, until

#: Greets when the session is established, and answers whatever the other party says.
TALKATIVE = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do:
      - reply: Hello, how can I help?
  - id: answer
    trigger: {message: any}
    do:
      - reply: I see. Tell me more, please.
"""

#: The most automatic messages of each bot: with the mark in user data, and without it.
MOST = {True: 3, False: 20}

QUIET_S = 1.5


async def quiet(session):
    """Return when nothing was said for a while."""
    said, still_s = -1, 0.0
    while still_s < QUIET_S:
        await asyncio.sleep(0.1)
        still_s = still_s + 0.1 if len(session.transcript) == said else 0.0
        said = len(session.transcript)


@pytest.mark.parametrize("mark", [True, False])
async def test_two_imbots_that_message_each_other_stop(tmp_path, mark):
    """With the mark at once; without it because no person answers so fast so often."""
    accounts = tuple(
        AgentAccount(user=f"bot{n}", password=f"pw-bot{n}", number=f"100{n}") for n in (1, 2)
    )
    async with (
        Simulator(SimulatorSettings(agents=accounts)) as simulator,
        AsyncExitStack() as stack,
    ):
        bots = []
        for account in accounts:
            folder = tmp_path / account.user
            folder.mkdir()
            settings = {"agents": (account.user,), "delivery": {"mark": mark}, "rules": TALKATIVE}
            bots.append(await stack.enter_async_context(running(folder, simulator.url, **settings)))
        for bot in bots:
            await bot.up()
        await bots[0].app.agents["bot1"].initiate("1002", {})
        [session] = simulator.world.sessions()
        await until(lambda: session.transcript)
        await quiet(session)
        counts = [
            sum(line.number == account.number for line in session.transcript)
            for account in accounts
        ]
        assert session.is_live
    tell(f"mark {mark}: {counts} automatic messages")
    assert max(counts) <= MOST[mark]
    assert min(counts) >= 1


# People -----------------------------------------------------------------------------------------

SEED = 20260301

DIALOGUES = 1000

#: How long after the bot's words a person is through with a line, in seconds: from, to.
READS_AND_TYPES = (2.0, 40.0)
PICKS_FROM_A_MENU = (0.6, 4.0)
TYPES_ON = (0.3, 2.5)


def lines_of_a_person(random):
    """Return a dialogue as the pauses between the bot's reply and the person's next line.

    Most read and type. Some pick numbers from a menu, quickly; some write one thought in several
    lines, so that the bot answers in their middle and the next line is there at once.
    """
    pauses = []
    for _ in range(random.randint(1, 12)):
        kind = random.random()
        if kind < 0.7:
            pauses.append(random.uniform(*READS_AND_TYPES))
        elif kind < 0.85:
            pauses += [random.uniform(*PICKS_FROM_A_MENU) for _ in range(random.randint(1, 3))]
        else:
            pauses.append(random.uniform(*READS_AND_TYPES))
            pauses += [random.uniform(*TYPES_ON) for _ in range(random.randint(1, 4))]
    return pauses


def dialogues(count):
    """Return so many dialogues, always the same."""
    random = Random(SEED)  # noqa: S311  reproducible, nothing is secret
    return [lines_of_a_person(random) for _ in range(count)]


def test_no_person_of_a_thousand_is_taken_for_a_bot():
    guard = LoopGuard("imbot")
    stopped = []
    for number, pauses in enumerate(dialogues(DIALOGUES)):
        key, now = SessionKey("bot1", f"s{number}"), datetime(2026, 3, 1, tzinfo=UTC)
        guard.note_reply(key, now)
        for pause_s in pauses:
            now += timedelta(seconds=pause_s)
            guard.note_message(key, now)
            if verdict := guard.verdict(key, {}, now):
                stopped.append((number, verdict))
            now += timedelta(seconds=0.05)
            guard.note_reply(key, now)
    assert stopped == []


@pytest.mark.looptime
async def test_every_line_of_a_person_is_answered_by_the_whole_engine():
    """The same through rules, ledger and echoes, on virtual time."""
    house = build(TALKATIVE)
    for number, pauses in enumerate(dialogues(36)):
        session, before = f"s{number}", len(house.said())
        await house.state("Talking", session)
        for pause_s in pauses:
            await asyncio.sleep(pause_s)
            await house.say(f"line after {pause_s:g} s", session)
        assert len(house.said()) - before == 1 + len(pauses), house.suppressed()
        await house.state("Completed", session)
