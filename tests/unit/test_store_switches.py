"""What people switched, in a store that the disk changed: it stays on the safe side."""

import sqlite3

import pytest

from imbot.engine.openings import CLOSED
from imbot.engine.switches import HALTED, SWITCHED, RuleSwitch, Switches
from imbot.engine.timers import NEVER
from imbot.records import TimerSet
from imbot.store.database import open_store
from tests.unit.store_samples import T0, StoppedClock


def opened(folder):
    return open_store("sqlite:///imbot.db", clock=StoppedClock(T0), base=folder, executor="inline")


@pytest.mark.parametrize(
    ("row", "holds"),
    [
        (
            TimerSet(HALTED, HALTED, NEVER, payload={"by": "alice", "at": T0, "why": ""}),
            lambda found: "damaged" in found.why_halted(),
        ),
        (
            TimerSet(
                f"{SWITCHED} greet",
                SWITCHED,
                NEVER,
                payload={
                    "rule": "greet",
                    "by": "alice",
                    "at": T0,
                    "is_off": False,
                    "shadow": True,
                    "budget": None,
                },
            ),
            lambda found: found.rules == {"greet": RuleSwitch("imbot", T0, is_off=True)},
        ),
        (TimerSet("later", "schedule", NEVER), lambda found: not found.rules and not found.halt),
    ],
    ids=["all effects", "a rule", "no switch"],
)
async def test_a_damaged_switch_stays_on_the_safe_side(tmp_path, row, holds):
    store = opened(tmp_path)
    await store.commit([row])
    await store.close()
    with sqlite3.connect(tmp_path / "imbot.db") as damaged:
        damaged.execute("UPDATE timers SET due_at = due_at - 1")
    damaged.close()

    store = opened(tmp_path)
    found = Switches()
    found.restore((await store.recover(T0)).timers)
    await store.close()
    assert holds(found)


async def test_a_closed_calendar_stays_closed(tmp_path):
    store = opened(tmp_path)
    await store.commit([TimerSet("closed shop", CLOSED, NEVER, payload={"calendar": "shop"})])
    await store.close()
    with sqlite3.connect(tmp_path / "imbot.db") as damaged:
        damaged.execute("UPDATE timers SET payload = '{}'")
    damaged.close()

    store = opened(tmp_path)
    (timer,) = (await store.recover(T0)).timers
    await store.close()
    assert timer.payload == {"calendar": "shop"}
