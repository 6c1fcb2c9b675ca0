"""Budgets: of a rule, of a session over all rules, and of the daemon."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.engine import spending
from imbot.engine.spending import Spending
from imbot.model import OutcomeKind, Reason, SessionKey
from imbot.rulebook.schema import Budget
from imbot.testing.house import build, rulebook_of
from imbot.testing.time import START

TWO = """
version: 1
rules:
  - {id: first, trigger: {message: any}, budget: {per_minute: 9},
     do: [{set: {one: "{{ message.text }}"}}]}
  - {id: second, trigger: {message: any},
     do: [{set: {two: "{{ message.text }}"}}, {set: {three: "{{ message.text }}"}}]}
"""
FIRST, SECOND = rulebook_of(TWO).rules
KEY, OTHER = SessionKey("bot1", "s1"), SessionKey("bot1", "s2")


class Hand:
    """A clock that is moved by hand."""

    passed_s = 0.0
    set_by_s = 0.0

    def now(self):
        return START + timedelta(seconds=self.passed_s + self.set_by_s)

    def monotonic(self):
        return self.passed_s


async def talking(budget, *sessions):
    house = build(TWO, budget=budget)
    for session in sessions or ("s1",):
        await house.state("Talking", session)
    return house


async def again(house, budget):
    """Kill the house and start another on what was durable."""
    await house.store.commit(())
    house.store.abandon()
    await house.stop()
    house = build(TWO, store=house.store.reopened(), budget=budget)
    await house.start()
    return house


def written(house):
    return [key for done in house.gws["bot1"].named("UpdateUserData") for key in done.given]


def withheld(house):
    return [each.detail for each in house.outcomes() if each.kind is OutcomeKind.WITHHELD]


@pytest.mark.looptime
async def test_a_session_has_a_budget_over_all_rules():
    """It holds in the middle of a run, too; other sessions go on."""
    house = await talking(Budget(per_session=5), "s1", "s2")
    for text in "abc":
        await house.say(text)
    await house.say("d", "s2")

    told = "5 effects of all rules in this session, the session's budget is 5"
    assert written(house) == ["one", "two", "three", "one", "two", "one", "two", "three"]
    assert withheld(house) == [told]
    assert [(no.rule_id, no.reason, no.detail) for no in house.suppressed()] == [
        ("first", Reason.BUDGET, told),
        ("second", Reason.BUDGET, told),
    ]


@pytest.mark.looptime
async def test_the_daemon_has_a_budget_over_all_sessions():
    house = await talking(Budget(per_minute=4), "s1", "s2")
    await house.say("a")
    await house.say("b", "s2")
    await asyncio.sleep(60)
    await house.say("c")

    told = "4 effects of all rules within a minute, the daemon's budget is 4"
    assert written(house) == ["one", "two", "three", "one", "one", "two", "three"]
    assert withheld(house) == [told, told]
    assert house.suppressed() == []


@pytest.mark.looptime
@pytest.mark.parametrize("budget", [Budget(per_session=3), Budget(per_minute=3)])
async def test_a_restart_spends_nothing_anew(budget):
    """A bot that is killed by what it does would never come to its budget."""
    house = await talking(budget)
    await house.say("a")
    house = await again(house, budget)
    await house.say("b")

    assert written(house) == []
    assert [no.reason for no in house.suppressed()] == [Reason.BUDGET] * 2


@pytest.mark.looptime
async def test_the_minute_of_a_rule_goes_on_over_a_restart():
    rules = TWO.replace("per_minute: 9", "per_minute: 2")
    house = build(rules)
    await house.state("Talking")
    await house.say("a")
    await asyncio.sleep(50)
    await house.say("b")
    await house.store.commit(())
    house.store.abandon()
    await house.stop()
    house = build(rules, store=house.store.reopened())
    await house.start()
    await house.say("c")
    await asyncio.sleep(11)
    await house.say("d")

    (no,) = house.suppressed()
    assert (no.rule_id, no.detail) == ("first", "2 effects within a minute, the rule's budget is 2")
    assert written(house) == ["two", "three", "one", "two", "three"]


def test_the_budget_of_the_rule_is_told_first():
    spent = Spending(Hand(), Budget(per_session=1))
    for _ in range(9):
        spent.note(FIRST, KEY)

    assert spent.why_not(FIRST, KEY) == "9 effects within a minute, the rule's budget is 9"
    assert spent.why_not(SECOND, KEY).endswith("the session's budget is 1")
    assert spent.why_not(SECOND, OTHER) == ""
    assert spent.why_not(SECOND, None) == ""


def test_without_a_budget_nothing_is_counted():
    """A daemon that runs for a year must not remember every effect."""
    spent = Spending(Hand())
    spent.note(SECOND, KEY)

    assert not spent._lately
    assert not spent._in_session
    assert spent.why_not(SECOND, KEY) == ""


def test_runs_that_act_after_their_session_leave_nothing_behind(monkeypatch):
    """A follow-up a day later would leave a count for ever, one for each session."""
    monkeypatch.setattr(spending, "COUNTED_SESSIONS", 10)
    monkeypatch.setattr(spending, "REMEMBERED_COMPLETED", 2)
    counts = Spending(Hand())
    keys = [SessionKey("bot1", f"s{number}") for number in range(50)]
    for key in keys:
        counts.forget(key)
    for key in keys:
        counts.note(FIRST, key)

    assert len(counts._in_session) == 10


def test_a_session_that_is_over_counts_until_its_last_events_are_decided(monkeypatch):
    monkeypatch.setattr(spending, "REMEMBERED_COMPLETED", 2)
    spent = Spending(Hand(), Budget(per_session=1))
    spent.note(SECOND, KEY)
    spent.forget(KEY)
    assert spent.why_not(SECOND, KEY)
    for number in range(2):
        spent.forget(SessionKey("bot1", f"later {number}"))

    assert not spent._in_session


@pytest.mark.parametrize("set_by_s", [-86_400.0, 86_400.0])
def test_a_minute_is_a_minute_although_somebody_sets_the_clock(set_by_s):
    clock = Hand()
    spent = Spending(clock, Budget(per_minute=1))
    spent.note(SECOND, KEY)
    clock.set_by_s = set_by_s
    clock.passed_s = 59
    assert spent.why_not(SECOND, KEY)
    clock.passed_s = 60

    assert spent.why_not(SECOND, KEY) == ""


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["note", "restart", ""])), max_size=40),
)
def test_a_minute_counts_what_was_begun_in_it_over_any_restart(most, moves):
    """Beside it runs the model: the moments of all effects."""
    clock, begun = Hand(), []
    spent = Spending(clock, Budget(per_minute=most))
    for pause_s, what in moves:
        clock.passed_s += round(pause_s)
        if what == "note":
            spent.note(SECOND, None)
            begun.append(("second", clock.now()))
        elif what == "restart":
            spent = Spending(clock, Budget(per_minute=most))
            lately = [each for each in begun if each[1] > clock.now() - timedelta(minutes=1)]
            spent.restore({}, lately)
        known = sum(at > clock.now() - timedelta(minutes=1) for _, at in begun)
        assert bool(spent.why_not(SECOND, None)) is (known >= most)
