"""Switches lie over rules and outlive a restart."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.switches import Halt, RuleSwitch, Switches
from imbot.records import TimerSet
from imbot.rulebook.schema import Budget
from imbot.store.columns import decode_plain, encode_plain
from imbot.testing.house import rulebook_of

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
RULE = """
version: 1
rules: [{id: r, trigger: {message: any}, final: true, budget: {per_minute: 5}, do: [{log: x}]}]
"""


def restored(changes):
    """Return the switches that a start makes of what was kept."""
    fresh = Switches()
    fresh.restore(
        row._replace(payload=decode_plain(encode_plain(row.payload)))
        for row in changes
        if isinstance(row, TimerSet)
    )
    return fresh


def test_a_halt_is_told_with_who_when_and_why():
    switches = Switches()
    switches.stop(Halt("alice", AT, "wrong prices"))
    assert switches.why_halted() == (
        "all effects were stopped by alice at 2026-03-02 12:00:00Z: wrong prices"
    )
    switches.stop(None)
    assert switches.why_halted() == ""


def test_a_rule_that_is_off_holds_back_no_other():
    (rule,) = rulebook_of(RULE).rules
    switches = Switches()
    switches.switch("r", RuleSwitch("alice", AT, is_off=True))
    assert switches.why_off("r") == "switched off by alice at 2026-03-02 12:00:00Z"
    assert not switches.over(rule).final
    assert switches.why_off("other") == ""


def test_what_lies_over_a_rule_can_be_taken_away():
    (rule,) = rulebook_of(RULE).rules
    switches = Switches()
    switches.switch("r", RuleSwitch("alice", AT, shadow=True, budget=Budget(per_session=1)))
    over = switches.over(rule)
    assert (over.shadow, over.budget) == (True, Budget(per_session=1))
    switches.switch("r", None)
    assert switches.over(rule) is rule


_BUDGETS = st.none() | st.builds(
    Budget, st.none() | st.integers(1, 99), st.none() | st.integers(1, 99)
)
_SWITCHES = st.builds(
    RuleSwitch,
    st.text(),
    st.datetimes(timezones=st.just(UTC)),
    is_off=st.booleans(),
    shadow=st.none() | st.booleans(),
    budget=_BUDGETS,
)


@given(st.dictionaries(st.text(), _SWITCHES), st.none() | st.builds(Halt, st.text(), st.just(AT)))
def test_a_restart_changes_nothing(rules, halt):
    switches = Switches()
    kept = [change for rule_id, to in rules.items() for change in switches.switch(rule_id, to)]
    kept += switches.stop(halt)

    fresh = restored(kept)

    assert dict(fresh.rules) == rules
    assert fresh.halt == halt
