"""Every example runs as its README says, on the simulator."""

import asyncio
import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imbot.app import Ports, open_app
from imbot.clock import SystemClock
from imbot.config import load_settings
from imbot.http import AiohttpNetwork
from imbot.simulator import Simulator
from imbot.simulator.crm import Crm
from imbot.simulator.parties import Complete, Expect, Say, Wait, play
from imbot.store.database import open_store
from imbot.testing.time import SteadyRandom

EXAMPLES = Path(__file__).parents[2] / "examples"


class FixedDay(SystemClock):
    """The machine's clock, moved to a moment."""

    def __init__(self, start):
        self._ahead = start - super().now()

    def now(self):
        return super().now() + self._ahead


def ports(clock, folder):
    return Ports(
        clock=clock,
        random=SteadyRandom(),
        network=lambda ca_file, allow, internal: AiohttpNetwork(
            ca_file=ca_file, allow=allow, internal=internal
        ),
        store=lambda _url, _base: open_store("sqlite:///imbot.db", clock=clock, base=folder),
        serves_health=False,
    )


@asynccontextmanager
async def serving(name, folder, *, start=None, options=()):
    """Run an example against a simulator; give the simulator and its clock."""
    clock = SystemClock() if start is None else FixedDay(start)
    async with Simulator(clock=clock) as simulator:
        loaded = load_settings(
            EXAMPLES / name / "imbot.yaml",
            environment={"BOT1_PASSWORD": "pw"},
            options=[f"gws.url={simulator.url}", *options],
        )
        stop = asyncio.Event()
        async with open_app(loaded, ports(clock, folder)) as app:
            serving = asyncio.create_task(app.run(stop))
            while not app.agents["bot1"].is_up:  # noqa: ASYNC110  a look from outside
                await asyncio.sleep(0.01)
            yield simulator, clock
            await asyncio.sleep(0.3)
            stop.set()
            await serving


async def converse(name, folder, script, *, start=None, number="3001", options=()):
    """Run an example against a simulator while one party follows a script."""
    async with serving(name, folder, start=start, options=options) as (simulator, clock):
        went = await play(simulator.world, clock, agent="bot1", number=number, script=script)
    return went, simulator.world.session(went.session_id)


async def test_01_greets_tags_and_says_goodbye(tmp_path):
    went, session = await converse(
        "01-auto-greeter",
        tmp_path,
        [Expect("service desk"), Say("bye"), Expect("Goodbye"), Wait(1)],
    )

    assert went.missed == ()
    assert session.user_data["greeted"] == "yes"
    assert session.user_data["imbot.reason"] == "goodbye"
    assert not session.is_live


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (datetime(2026, 3, 2, 9, 0, tzinfo=UTC), "open until 12:00"),
        (datetime(2026, 3, 2, 19, 0, tzinfo=UTC), "03.03. at 08:00"),
        (datetime(2026, 12, 24, 12, 0, tzinfo=UTC), "28.12. at 08:00"),
        (datetime(2026, 12, 31, 9, 0, tzinfo=UTC), "04.01. at 08:00"),
    ],
)
async def test_02_knows_hours_short_days_and_holidays(tmp_path, start, expected):
    went, _ = await converse("02-after-hours", tmp_path, [Expect(expected)], start=start)

    assert went.missed == ()


async def test_03_greets_by_name_and_leaves_the_interaction(tmp_path):
    async with Crm() as crm:
        options = [f"plugins.options.crm.url={crm.url}", f"http.allow=[{crm.url}]"]
        went, session = await converse(
            "03-crm-sync", tmp_path, [Expect("Hello Ada"), Wait(0.1), Complete()], options=options
        )

    assert went.missed == ()
    assert list(crm.interactions) == [("C-17", session.id)]
    assert crm.interactions["C-17", session.id]["channel"] == "internal-im"


async def test_03_greets_without_a_name_when_the_crm_is_out(tmp_path):
    options = ["plugins.options.crm.url=http://127.0.0.1:9", "http.allow=[http://127.0.0.1:9]"]
    went, _ = await converse("03-crm-sync", tmp_path, [Expect("Hello, how")], options=options)

    assert went.missed == ()


def rules_at(url, name, folder):
    """Return options for the example's rules, with the CRM at another address."""
    for rules in (EXAMPLES / name / "rules").iterdir():
        text = rules.read_text(encoding="utf-8").replace("http://127.0.0.1:8092", url)
        (folder / rules.name).write_text(text, encoding="utf-8")
    return [f"rules=[{folder}]", f"plugins.options.crm.url={url}", f"http.allow=[{url}]"]


async def test_05_asks_its_questions_and_leaves_the_answers(tmp_path):
    script = [
        *(Say("bye"), Expect("Before you go"), Expect("your question?"), Say("5")),
        *(Expect("friendly?"), Say("4"), Expect("Thank you, Ada"), Wait(1)),
    ]
    async with Crm() as crm:
        options = rules_at(crm.url, "05-survey", tmp_path)
        went, session = await converse("05-survey", tmp_path, script, options=options)

    assert went.missed == ()
    assert not session.is_live
    answers = {"helpful": "5", "friendly": "4", "comment": "none"}
    assert crm.interactions == {("survey", session.id): answers}


async def test_06_asks_at_nine_and_notes_the_answer(tmp_path):
    start = datetime.fromisoformat("2026-03-02T08:59:57+01:00")
    async with Crm() as crm:
        options = rules_at(crm.url, "06-outreach", tmp_path)
        async with serving("06-outreach", tmp_path, start=start, options=options) as (sim, _):
            world = sim.world
            await world.until(lambda: any(s.transcript for s in world.sessions()), timeout_s=20)
            (session,) = world.sessions()
            await asyncio.sleep(0.3)
            world.say(session.id, "yes, of course")
            await world.until(lambda: not session.is_live)

    assert session.callee.number == "3003"
    assert crm.interactions["late-shift", "2026-03-02"]["answer"] == "yes"


@pytest.mark.parametrize(
    "readme", sorted(EXAMPLES.glob("0*/README.md")), ids=lambda p: p.parent.name
)
def test_readmes_name_files_that_exist(readme):
    named = re.findall(r"examples/[\w./-]+", readme.read_text(encoding="utf-8"))

    assert named
    assert all((EXAMPLES.parent / name).exists() for name in named)
