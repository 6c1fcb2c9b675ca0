"""Breakers: a rule whose action fails time after time is held back, says so, and comes back."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from structlog.testing import capture_logs

from imbot.engine.breaking import BREAKER, IN_A_ROW, PAUSE_S, Breakers
from imbot.engine.planning import Start
from imbot.errors import AmbiguousError, Fault, FaultClass, PermanentError, TemporaryError
from imbot.model import Event, EventKind, Outcome, OutcomeKind, Reason, Step
from imbot.plugin import action
from imbot.records import TimerGone, TimerSet
from imbot.rulebook.index import Index
from imbot.testing.house import build, rulebook_of
from imbot.testing.time import START, LoopClock

pytestmark = pytest.mark.looptime


class Where(BaseModel):
    """Which of several services."""

    at: str = "here"


class Services:
    """Actions that fail as long as they are told to."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.calls: list[str] = []

    def actions(self):
        @action("own.call", args=Where)
        async def call(ctx, args):
            del ctx
            self.calls.append(args.at)
            if (error := self.errors.get(args.at)) is not None:
                raise error

        return {"own.call": call}


CALL = "{own.call: {}}"


def book(*steps, **keys):
    more = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    lines = "".join(f"      - {step}\n" for step in steps)
    return f"version: 1\nrules:\n  - id: r\n    trigger: {{message: any}}\n{more}    do:\n{lines}"


RULES = book(CALL, max_age="9h")


async def opened(rules, services, **more):
    house = build(rules, actions=services.actions(), **more)
    await house.state("Talking")
    return house


async def failing(rules=None, *, times=IN_A_ROW, error=None):
    """Return a house whose rule has failed so often, and the services that it calls."""
    services = Services()
    services.errors["here"] = error or PermanentError("HTTP 503")
    house = await opened(rules or book(CALL), services)
    for _ in range(times):
        await house.say("x")
    return house, services


def reasons(house):
    return [no.reason for no in house.suppressed()]


def rows(house):
    return [timer for timer in house.store._look().timers.values() if timer.kind == BREAKER]


async def test_five_failures_in_a_row_open_the_breaker():
    """The action is not called any more, and the decision says why with all that decided."""
    house, services = await failing()
    await asyncio.sleep(20)
    await house.say("x")

    (no,) = house.suppressed()
    assert len(services.calls) == IN_A_ROW
    assert (no.rule_id, no.reason) == ("r", Reason.BREAKER)
    assert no.detail == (
        "own.call failed 5 times in a row, last: HTTP 503; "
        "open for 20s, one run is tried in 40s and closes it if it succeeds"
    )


@pytest.mark.parametrize("trouble", [FaultClass.GONE, FaultClass.CONFLICT])
async def test_a_session_that_is_gone_is_no_failure_of_the_action(trouble):
    """Visitors hang up before imbot is told; the next one must be greeted all the same."""
    house, services = await failing(error=PermanentError("HTTP 404", fault=Fault(trouble)))
    await house.say("x")

    assert house.suppressed() == []
    assert len(services.calls) == IN_A_ROW + 1


async def test_four_failures_do_not_open_it():
    house, services = await failing(times=IN_A_ROW - 1)
    services.errors.clear()
    await house.say("x")

    assert house.suppressed() == []
    await house.store.commit(())
    assert rows(house) == []


async def test_a_success_in_between_begins_the_row_anew():
    house, services = await failing(times=IN_A_ROW - 1)
    error = services.errors.pop("here")
    await house.say("x")
    services.errors["here"] = error
    for _ in range(IN_A_ROW - 1):
        await house.say("x")
    await house.say("x")

    assert reasons(house) == []


async def test_the_breaker_is_told_in_the_log():
    with capture_logs() as logs:
        house, services = await failing()
        services.errors.clear()
        await asyncio.sleep(PAUSE_S)
        await house.say("x")

    told = [entry for entry in logs if entry["event"].startswith("rule.")]
    assert told == [
        {
            "event": "rule.breaker_open",
            "log_level": "warning",
            "rule": "r",
            "action": "own.call",
            "place": "rules.yaml:6:10",
            "failures": IN_A_ROW,
            "cause": "HTTP 503",
            "pause_s": PAUSE_S,
        },
        {"event": "rule.breaker_closed", "log_level": "info", "rule": "r"},
    ]


async def test_after_a_pause_one_run_is_tried_and_a_success_closes():
    house, services = await failing()
    services.errors.clear()
    await asyncio.sleep(PAUSE_S)
    await house.say("x")
    await house.say("x")

    assert len(services.calls) == IN_A_ROW + 2
    assert reasons(house) == []
    await house.store.commit(())
    assert rows(house) == []


async def test_a_trial_that_fails_keeps_it_open_for_another_pause():
    house, services = await failing()
    for _ in range(3):
        await asyncio.sleep(PAUSE_S)
        await house.say("x")
        await house.say("x")

    assert len(services.calls) == IN_A_ROW + 3
    assert reasons(house) == [Reason.BREAKER] * 3
    assert "failed 8 times in a row" in house.suppressed()[-1].detail
    assert "open for 3m," in house.suppressed()[-1].detail


async def test_while_the_trial_goes_on_nothing_else_runs():
    """A service that hangs is asked once a minute, not by every customer."""
    house, services = await failing(book("{wait: 10s}", CALL, mode="parallel"), times=0)
    for _ in range(IN_A_ROW):
        await house.say("x")
    await asyncio.sleep(10 + PAUSE_S)
    services.errors.clear()
    await house.say("trial")
    await house.say("x")
    assert reasons(house) == [Reason.BREAKER]
    await asyncio.sleep(11)
    await house.say("x")

    assert len(services.calls) == IN_A_ROW + 1
    assert reasons(house) == [Reason.BREAKER]


BRANCHES = book(
    "{if: message.text == 'a', then: [{own.call: {at: here}}], else: [{own.call: {at: there}}]}"
)


async def test_each_step_counts_by_itself():
    """A step that always works must not hide that another never does."""
    house, _ = await failing(BRANCHES, times=0)
    for _ in range(IN_A_ROW):
        await house.say("a")
        await house.say("b")
    await house.say("a")

    assert reasons(house) == [Reason.BREAKER] * 2


async def test_a_trial_that_ends_well_elsewhere_closes():
    """Else a rule that seldom comes to the step that failed would be held back for days."""
    house, services = await failing(BRANCHES, times=0)
    for _ in range(IN_A_ROW):
        await house.say("a")
    await asyncio.sleep(PAUSE_S)
    await house.say("b")
    await house.say("b")

    assert services.calls[-2:] == ["there", "there"]
    assert reasons(house) == []


async def test_a_trial_that_did_nothing_proves_nothing():
    house, services = await failing(
        book("{if: message.text == 'no', then: [{stop: nothing to do}]}", CALL)
    )
    await asyncio.sleep(PAUSE_S)
    await house.say("no")
    await house.say("x")

    assert len(services.calls) == IN_A_ROW
    assert reasons(house) == [Reason.BREAKER]


async def test_a_second_step_that_fails_keeps_it_open():
    """The success of one step closes only when no other has failed five times."""
    house, services = await failing(covered("{own.call: {at: there}}"), times=0)
    services.errors["there"] = PermanentError("gone")
    for _ in range(IN_A_ROW):
        await house.say("x")
    del services.errors["here"]
    await asyncio.sleep(PAUSE_S)
    await house.say("x")
    await house.say("x")

    (no,) = house.suppressed()
    assert no.detail.startswith("own.call failed 6 times in a row, last: gone;")


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (CALL, TemporaryError("busy")),
        (CALL, AmbiguousError("no answer")),
        ("{own.call: {}, retry: {times: 3, backoff: 1s..2s}}", TemporaryError("busy")),
    ],
)
async def test_what_is_given_up_is_a_failure_whatever_follows(step, error):
    """Attempts are not counted: three at one moment say no more than one."""
    house, services = await failing(book(step), error=error)
    assert house.suppressed() == []
    calls = len(services.calls)
    await house.say("x")

    assert reasons(house) == [Reason.BREAKER]
    assert len(services.calls) == calls == IN_A_ROW * (3 if "retry" in step else 1)


def covered(*more, at="here"):
    """Return a rule whose step says what to do instead, and then does more."""
    instead = "on_error: [{reply: '{{ error.kind }}: {{ error.message }}'}]"
    return book(f"{{own.call: {{at: {at}}}, {instead}}}", *more)


OF_THE_RULE = book(CALL, on_error="[{reply: '{{ error.kind }}: {{ error.message }}'}]")


@pytest.mark.parametrize("rules", [covered(), OF_THE_RULE])
async def test_what_has_an_on_error_runs_on_without_what_fails(rules):
    """With the CRM down each customer is greeted without a name, and not one a minute."""
    house, services = await failing(rules)
    await asyncio.sleep(20)
    await house.say("x")

    assert house.suppressed() == []
    assert len(services.calls) == IN_A_ROW
    assert house.said()[-1] == (
        "temporary: the breaker is open: own.call failed 5 times in a row, last: HTTP 503; "
        "open for 20s, it is tried again in 40s"
    )
    assert house.outcomes()[-2].attempts == 0


@pytest.mark.parametrize("rules", [covered(), OF_THE_RULE])
async def test_one_call_a_minute_is_the_trial_of_what_has_an_on_error(rules):
    """What fails at once is no failure, else the trial would never come."""
    house, services = await failing(rules)
    for _ in range(3):
        for _ in range(3):
            await asyncio.sleep(PAUSE_S / 3)
            await house.say("x")
    assert len(services.calls) == IN_A_ROW + 3

    services.errors.clear()
    await asyncio.sleep(PAUSE_S)
    with capture_logs() as logs:
        await house.say("x")
        await house.say("x")
    assert [entry["event"] for entry in logs if "breaker" in entry["event"]] == [
        "rule.breaker_closed"
    ]
    assert len(services.calls) == IN_A_ROW + 5
    await house.store.commit(())
    assert rows(house) == []


async def test_a_trial_tries_every_step_that_fails():
    """Else the first of two would take each trial, and the second never be found well again."""
    second = "{own.call: {at: there}, on_error: [{log: x}]}"
    house, services = await failing(covered(second), times=0)
    services.errors["there"] = PermanentError("gone")
    for _ in range(IN_A_ROW):
        await house.say("x")
    del services.errors["there"]
    await asyncio.sleep(PAUSE_S)
    await house.say("x")
    await house.say("x")

    assert services.calls[-3:] == ["here", "there", "there"]
    assert services.calls.count("here") == IN_A_ROW + 1


async def test_a_step_without_an_on_error_holds_its_rule_back_all_the_same():
    """Also when another step of the rule has one."""
    house, services = await failing(covered("{own.call: {at: there}}"), times=0)
    services.errors["there"] = PermanentError("gone")
    for number in range(IN_A_ROW + 1):
        await house.say(f"x{number}")

    (no,) = house.suppressed()
    assert no.detail.startswith("own.call failed 5 times in a row, last: gone;")
    assert len(services.calls) == 2 * IN_A_ROW


async def test_what_a_rule_does_on_error_is_not_covered_by_itself():
    rules = book("{own.call: {at: there}}", on_error="[{own.call: {}}]")
    house, services = await failing(rules, times=0)
    services.errors["there"] = PermanentError("gone")
    for _ in range(IN_A_ROW + 1):
        await house.say("x")

    (no,) = house.suppressed()
    assert "last: HTTP 503" in no.detail


async def test_nothing_is_tried_again_of_what_fails_at_once():
    retried = "{own.call: {}, retry: {times: 3, backoff: 1s..2s}, on_error: [{reply: later}]}"
    house, services = await failing(book(retried), error=TemporaryError("busy"))
    began = asyncio.get_running_loop().time()
    await house.say("x")

    assert house.said()[-1] == "later"
    assert asyncio.get_running_loop().time() - began < 1
    assert len(services.calls) == IN_A_ROW * 3


@pytest.mark.parametrize("rules", [RULES, covered()])
async def test_open_breakers_are_told_to_who_asks(rules):
    """An operator sees what is down without looking for a session that it happened in."""
    house, services = await failing(rules, times=IN_A_ROW - 1)
    breakers = house.flow.runs.past.breakers
    assert breakers.told() == {}
    await house.say("x")
    await asyncio.sleep(20)

    failed = "own.call failed 5 times in a row"
    assert breakers.told() == {"r": f"{failed}; open for 20s, tried again in 40s"}
    await asyncio.sleep(PAUSE_S)
    assert breakers.told() == {"r": f"{failed}; tried when next due"}
    services.errors.clear()
    await house.say("x")
    assert breakers.told() == {}


async def test_a_withheld_or_cancelled_step_is_no_failure():
    """In the wrong state nothing was tried; the rule works where it can."""
    house, services = await failing(times=IN_A_ROW - 1)
    silent = rulebook_of(
        "version: 1\nrules:\n  - id: w\n    trigger: {state: Alerting}\n    do: [{reply: x}]\n"
    )
    house.flow.index = Index((*house.book.rules, *silent.rules))
    for number in range(IN_A_ROW + 1):
        await house.state("Alerting", f"w{number}")

    assert house.suppressed() == []
    assert {outcome.kind.value for outcome in house.outcomes()} == {"failed", "withheld"}
    assert len(services.calls) == IN_A_ROW - 1


async def again(house, services, rules):
    """Kill the house and start another on what was durable."""
    await house.store.commit(())
    house.store.abandon()
    await house.stop()
    house = build(rules, actions=services.actions(), store=house.store.reopened())
    await house.start()
    return house


@pytest.mark.parametrize("times", [IN_A_ROW - 1, IN_A_ROW])
async def test_a_restart_forgets_no_failure(times):
    """A bot that dies of what fails would never open its breaker otherwise."""
    house, services = await failing(times=times)
    house = await again(house, services, book(CALL))
    for _ in range(IN_A_ROW - times):
        await house.say("x")
    await asyncio.sleep(5)
    await house.say("x")

    (no,) = house.suppressed()
    assert len(services.calls) == IN_A_ROW
    assert "failed 5 times in a row, last: HTTP 503; open for 5s" in no.detail


async def test_a_trial_counts_over_a_restart():
    house, services = await failing()
    await asyncio.sleep(PAUSE_S)
    services.errors["here"] = PermanentError("still")
    await house.say("x")
    house = await again(house, services, book(CALL))
    await house.say("x")

    assert "in 1m and closes" in house.suppressed()[0].detail


async def test_a_changed_rule_begins_with_a_closed_breaker():
    """Its author has mended it, perhaps."""
    house, services = await failing()
    changed = rulebook_of(book(CALL, "{log: changed}"), actions=services.actions())
    await house.adopt(changed, house.flow.view.around)
    await house.say("x")
    await house.store.commit(())

    assert reasons(house) == []
    assert [row.payload["version"] for row in rows(house)] == [changed.rules[0].version]


async def test_a_reload_keeps_the_breaker_of_a_rule_that_stays():
    house, services = await failing()
    more = book(CALL) + "  - id: other\n    trigger: {state: Completed}\n    do: [{log: x}]\n"
    await house.adopt(rulebook_of(more, actions=services.actions()), house.flow.view.around)
    await house.say("x")

    assert reasons(house) == [Reason.BREAKER]


async def test_what_is_not_in_force_at_a_start_is_forgotten():
    house, services = await failing()
    house = await again(house, services, book(CALL, "{log: changed}"))
    await house.store.commit(())

    assert rows(house) == []


class SetBack(LoopClock):
    """A clock on the wall that somebody sets back by a day."""

    back = False

    def now(self):
        return super().now() if not self.back else super().now() - timedelta(days=1)


async def test_a_clock_that_was_set_back_does_not_hold_a_rule_back_for_long():
    services, clock = Services(), SetBack()
    services.errors["here"] = PermanentError("HTTP 503")
    house = await opened(RULES, services, clock=clock)
    for _ in range(IN_A_ROW):
        await house.say("x")
    clock.back = True
    await house.say("x")
    await house.say("x")

    assert reasons(house) == [Reason.BREAKER]
    assert "open for 0s" in house.suppressed()[0].detail


async def test_a_long_error_is_cut():
    house, _ = await failing(error=PermanentError("no" * 5000))
    await house.say("x")

    assert len(house.suppressed()[0].detail) < 400


class ByHand:
    """A clock that is moved by hand."""

    passed_s = 0.0

    def now(self):
        return START + timedelta(seconds=self.passed_s)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["ok", "fail", "pause", "restart"]), max_size=40))
def test_whatever_happens_a_rule_is_held_back_exactly_while_its_breaker_is_open(moves):
    """Beside it runs the model: a count of failures, and when the last try was."""
    rules = rulebook_of(book("{log: x}")).rules
    event = Event("e", EventKind.CONNECTION, START, START, "bot1")
    start = Start(rules[0], event, "run", "key")
    clock, store = ByHand(), Noted()
    breakers = Breakers(clock, store)
    failures, tried_s = 0, 0.0
    for move in moves:
        if move == "pause":
            clock.passed_s += PAUSE_S / 2
        elif move == "restart":
            breakers = Breakers(clock, store)
            other = TimerSet("run/3", "run", START)
            breakers.restore([other, *store.rows.values()], rules)
        is_open = failures >= IN_A_ROW and clock.passed_s - tried_s < PAUSE_S
        assert bool(breakers.why_not(rules[0])) is is_open
        if is_open or move not in ("ok", "fail"):
            continue
        breakers.begin(start)
        kind = OutcomeKind.DONE if move == "ok" else OutcomeKind.FAILED
        breakers.note(start, 0, Step("e/r/0", "reply", {}), Outcome("e/r/0", kind, "no"))
        failures, tried_s = (0, 0.0) if move == "ok" else (failures + 1, clock.passed_s)
    assert len(store.rows) == (failures > 0)


class Noted:
    """A store that keeps rows."""

    def __init__(self):
        self.rows = {}

    def note(self, changes):
        for change in changes:
            if isinstance(change, TimerGone):
                del self.rows[change.id]
            else:
                self.rows[change.id] = change
