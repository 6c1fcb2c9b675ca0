"""The dashboard's parts: logins, what moves, files, words, and what forms ask."""

import asyncio
import hashlib
import html
import itertools
import json
from datetime import UTC, datetime, timedelta
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.admin import forms
from imbot.admin.dashboard.assets import Assets
from imbot.admin.dashboard.deeds import DEEDS
from imbot.admin.dashboard.live import TICK_S, Condition, Live
from imbot.admin.dashboard.moves import Moves
from imbot.admin.dashboard.pages import PAGES
from imbot.admin.dashboard.paper import Paper, ago, away, count, moment, place
from imbot.admin.dashboard.visitors import LASTS_S, Visitors
from imbot.admin.desk import Desk
from imbot.admin.keys import Key, Role
from imbot.clock import SystemClock
from imbot.model import MessageNotice
from imbot.testing.house import build
from imbot.testing.time import LoopClock

ALICE = Key("alice", Role.OPERATE, "0" * 64)
BOB = Key("bob", Role.READ, "1" * 64)
FINE = Condition("ready", (), 2, 2, 0, "")
PAPER = Paper(Assets())
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)

RULES = """
version: 1
rules:
  - {id: greet, trigger: {message: any}, do: [{reply: "Hello"}]}
"""


# Visitors -------------------------------------------------------------------------------------


@pytest.mark.looptime
async def test_a_ticket_is_good_for_its_time_and_until_the_logout():
    visitors = Visitors(LoopClock())
    one, other = visitors.admit(ALICE), visitors.admit(ALICE)
    assert one != other
    assert visitors.of(one).key is ALICE
    assert visitors.of(one).csrf != visitors.of(other).csrf
    visitors.leave(one)
    assert visitors.of(one) is None
    await asyncio.sleep(LASTS_S - 1)
    assert visitors.of(other) is not None
    await asyncio.sleep(1)
    assert visitors.of(other) is None


@given(st.text())
def test_no_other_ticket_and_no_other_form_is_good(text):
    visitors = Visitors(SystemClock())
    ticket = visitors.admit(ALICE)
    assert visitors.of(text) is None
    assert not visitors.of(ticket).sent(text)
    assert visitors.of(ticket).sent(visitors.of(ticket).csrf)


@pytest.mark.looptime
async def test_of_one_token_only_so_many_logins_are_remembered():
    """Nobody is logged out because somebody else logs in ever again."""
    visitors = Visitors(LoopClock())
    other = visitors.admit(BOB)
    tickets = [visitors.admit(ALICE) for _ in range(101)]
    assert visitors.of(tickets[0]) is None
    assert visitors.of(tickets[1]) is not None
    assert visitors.of(other).key is BOB


# What moves -----------------------------------------------------------------------------------


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("are_wanted", "moved"),
    [(True, {"sessions", "rules", "session:s1"}), (False, set())],
)
async def test_what_is_seen_moves_its_topics_while_somebody_looks(are_wanted, moved):
    moves = Moves()
    moves.are_wanted = are_wanted
    house = build(RULES, watch=moves.watch)
    await house.state("Talking")
    await house.say("hi")
    await house.hear(MessageNotice("s1", "Hello", house.clock.now(), sender="bot1"))
    await house.settle()
    assert moves.take() == moved
    assert moves.take() == set()


@pytest.mark.looptime
async def test_where_too_many_sessions_move_all_did():
    moves = Moves()
    moves.are_wanted = True
    house = build(RULES, watch=moves.watch)
    for number in range(201):
        await house.state("Talking", f"s{number}")
    assert moves.take() >= {"sessions", "session:*"}


# Live -----------------------------------------------------------------------------------------


def topics(event: bytes) -> set[str]:
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    return set(json.loads(event[6:])["moved"])


@pytest.mark.looptime
async def test_an_open_page_is_told_at_once_and_then_what_moved():
    conditions = [FINE]
    live = Live(LoopClock(), Moves(), lambda: conditions[-1])
    loop = asyncio.get_running_loop()
    with live.open("alice") as next_event:
        assert live.opened("alice") == 1
        assert live.opened("bob") == 0
        assert topics(await next_event()) == {"condition"}, "nobody knows what moved before"
        assert loop.time() == 0
        await asyncio.sleep(TICK_S / 2)
        conditions.append(FINE._replace(parked=1))
        assert topics(await next_event()) == {"condition"}
        assert loop.time() == TICK_S
        assert topics(await next_event()) == set(), "a sign of life"
        assert loop.time() == 20 * TICK_S
    assert live.opened("alice") == 0
    await live.close()


@pytest.mark.looptime
async def test_everybody_is_told_and_who_comes_later_too():
    conditions = [FINE]
    moves = Moves()
    live = Live(LoopClock(), moves, lambda: conditions[-1])
    with live.open("alice") as one, live.open("bob") as other:
        await one(), await other()
        await asyncio.sleep(TICK_S / 2)
        conditions.append(FINE._replace(status="degraded"))
        assert topics(await one()) == topics(await other()) == {"condition"}
        assert moves.are_wanted
    await asyncio.sleep(2 * TICK_S)
    assert not moves.are_wanted
    with live.open("alice") as later:
        await later()
        await asyncio.sleep(TICK_S / 2)
        conditions.append(FINE)
        assert topics(await later()) == {"condition"}
    await live.close()


class Busy(Moves):
    """Ever other sessions move."""

    def __init__(self):
        super().__init__()
        self.numbers = itertools.count()

    def take(self):
        return {"sessions", *(f"session:{next(self.numbers)}" for _ in range(100))}


@pytest.mark.looptime
async def test_for_a_page_that_reads_nothing_little_is_kept():
    """Its connection may be stuck for hours, and that of many at once."""
    live = Live(LoopClock(), Busy(), lambda: FINE)
    with live.open("alice") as next_event:
        await asyncio.sleep(100 * TICK_S)
        told = topics(await next_event())
        assert {"sessions", "condition", "session:*"} <= told
        assert len(told) <= 600
    await live.close()


# Files ----------------------------------------------------------------------------------------


def test_files_of_others_are_those_that_their_makers_published():
    """Whoever changes one of them on the way would run scripts in the operators' browsers."""
    folder = resources.files("imbot.admin.dashboard") / "static" / "vendor"
    told = (folder / "README.md").read_text()
    for each in folder.iterdir():
        if each.name != "README.md":
            assert hashlib.sha256(each.read_bytes()).hexdigest() in told, each.name


def test_a_name_is_of_what_the_file_holds():
    assets = Assets()
    for name, asked in assets.named.items():
        stem, hashed, kind = asked.rsplit(".", 2)
        assert f"{stem}.{kind}" == name
        assert hashlib.sha256(assets.served[asked].body).hexdigest().startswith(hashed)
    assert "htmx.LICENSE" not in assets.named


# Words ----------------------------------------------------------------------------------------


def test_times_are_told_shortly():
    assert ">12:" in moment(NOW.replace(minute=3), NOW) or ":03:00<" in moment(NOW, NOW)
    assert ">1d ago<" in ago(NOW - timedelta(hours=30), NOW)
    assert ">2m ago<" in ago(NOW - timedelta(seconds=150), NOW)
    assert ">now<" in ago(NOW + timedelta(seconds=5), NOW)
    assert ">in 5s<" in away(NOW + timedelta(seconds=5.4), NOW)
    assert (ago(None, NOW), away(None, NOW)) == ("never", "never")
    assert count(12345.6) == "12\N{NARROW NO-BREAK SPACE}346"


@given(st.text())
def test_a_place_is_escaped(text):
    shown = place(text)
    assert shown.count("<") == 2
    assert shown.count('"') == 4


# Pages and forms ------------------------------------------------------------------------------


def test_pages_ask_for_what_there_is_and_forms_do_what_there_is():
    routes = {(route.method, route.path): route for route in Desk(None).routes}
    for page in PAGES:
        for ask in page.asks.values():
            assert ("GET", ask.partition("?")[0]) in routes
    for deed in DEEDS:
        route = routes[deed.asks]
        assert (deed.body is None) == (route.body is None)
        assert route.path.count("{") == deed.path.count("{")


@given(
    st.dictionaries(st.sampled_from(["state", "per_session", "per_minute"]), st.lists(st.text()))
)
def test_whatever_is_written_into_a_form_is_a_body_or_refused_later(fields):
    (deed,) = [deed for deed in DEEDS if deed.path == "/do/rules/{rule}"]
    body = deed.body(fields)
    assert set(body) == set(forms.SwitchForm.model_fields)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_every_text_is_escaped(text):
    shown = {"error": None, "query": {"next": text}, "told": "", "page": None}
    page = PAPER.page("login.html", shown)
    (line,) = [line for line in page.splitlines() if 'name="next"' in line]
    value = line.removeprefix('<input type="hidden" name="next" value="').removesuffix('">')
    assert not set(value) & set("<>\"'")
    assert html.unescape(value) == text
