"""What is counted of each rule, above all what it let pass."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.admin.counts import Counts, RuleCount
from imbot.engine.adopting import adopt
from imbot.engine.planning import Plan, Start
from imbot.engine.watching import Adopted, Decided
from imbot.model import ALL_RULES, EventKind, Reason, Suppressed
from imbot.rulebook.index import Index
from imbot.rulebook.schema import Rulebook, UserdataTrigger
from imbot.testing.house import build, rulebook_of
from imbot.testing.time import LoopClock
from tests.unit.rulebooks import rule
from tests.unit.store_samples import T0, StoppedClock, event

RULES = """
version: 1
rules:
  - {id: hello, trigger: {message: {contains: hello}}, once: session, do: [{reply: Hi}]}
  - {id: tried, trigger: {message: any}, shadow: true, when: message.text != "x", do: [{reply: Y}]}
  - {id: asleep, trigger: {message: any}, enabled: false, do: [{reply: Zzz}]}
  - {id: called, trigger: {webhook: ring}, do: [{log: rang}]}
"""


def counted():
    """Return an engine whose counts see what it decides, the counts, and the rules."""
    clock, book = LoopClock(), rulebook_of(RULES)
    counts = Counts(clock, book.rules)
    return build(book, clock=clock, watch=counts.watch), counts, book


@pytest.mark.looptime
async def test_every_event_of_its_kind_hits_is_suppressed_or_misses():
    """Else nobody sees that a rule's ``when`` never holds."""
    made, counts, _ = counted()
    began_at = made.clock.now()
    await made.state("Talking")
    for text in ("hello", "hello again", "x", "what"):
        await made.say(text)

    assert counts.of("hello") == RuleCount(began_at, 1, 0, {"once": 1}, 2)
    assert counts.of("tried") == RuleCount(began_at, 0, 3, {}, 1)
    assert counts.of("called") == RuleCount(began_at), "nothing posted to any hook"
    assert counts.of("asleep") == RuleCount(began_at), "one that is not enabled is never asked"
    assert counts.of("unknown") == RuleCount(made.clock.now())


@pytest.mark.looptime
async def test_a_reload_begins_anew_for_what_is_new_or_changed_alone():
    made, counts, book = counted()
    await made.state("Talking")
    await made.say("hello")
    changed, added = (rulebook_of(RULES.replace("hello", word)) for word in ("howdy", "hello"))
    new = replace(added.rules[0], id="new")
    await made.clock.sleep(5)
    later = made.clock.now()
    rules = (replace(changed.rules[0], id="hello"), *book.rules[1:], new)
    book = Rulebook(rules)
    adopt(book, Index(book.rules), made.flow, made.agenda)
    await made.say("hello")

    assert counts.of("hello") == RuleCount(later, 0, 0, {}, 1)
    assert counts.of("tried").shadow_hits == 2
    assert counts.of("new") == RuleCount(later, 1)
    adopt(Rulebook(), Index(()), made.flow, made.agenda)
    assert counts.of("new").hits == 0


def test_our_own_writes_are_missed_only_by_rules_that_want_them():
    """Each mark that imbot sets comes back; who does not wait for it does not miss it."""
    deaf, keen = (
        replace(rule("    do: [{log: x}]\n", rule_id=name), triggers=(UserdataTrigger(own=own),))
        for name, own in (("deaf", False), ("keen", True))
    )
    counts = Counts(StoppedClock(), [deaf, keen])
    happened = event(kind=EventKind.USERDATA, changed={})
    for own in (True, False):
        counts.watch(Decided(Plan(replace(happened, own=own))))

    assert (counts.of("deaf").misses, counts.of("keen").misses) == (1, 2)


def test_a_flood_is_missed_by_nobody():
    """No rule was asked, so none let it pass."""
    counts = Counts(StoppedClock(), rulebook_of(RULES).rules)
    flooded = Suppressed(ALL_RULES, Reason.FLOOD, "30 events in a second")
    counts.watch(Decided(Plan(event(kind=EventKind.MESSAGE), suppressed=(flooded,))))

    assert counts.of("hello") == RuleCount(T0)


KINDS = (EventKind.MESSAGE, EventKind.STATE)
TRIGGERS = {
    "talks": "{message: any}",
    "rings": "{state: Alerting}",
    "both": "[{message: any}, {state: Talking}, {message: {equals: hi}}]",
}
MADE = {
    name: rule("    do: [{log: x}]\n", rule_id=name, trigger=trigger)
    for name, trigger in TRIGGERS.items()
}
WAITS = {"talks": {"message"}, "rings": {"state"}, "both": {"message", "state"}}
FATES = st.sampled_from(["hit", "shadow", "suppressed", "miss"])
DECISIONS = st.tuples(st.sampled_from(KINDS), st.fixed_dictionaries(dict.fromkeys(MADE, FATES)))
RELOADS = st.dictionaries(st.sampled_from(sorted(MADE)), st.sampled_from(["v1", "v2"]))


def plan_of(kind, fates, book):
    """Return a decision in which each rule of its kind met its fate."""
    happened = event(kind=kind)
    fates = {name: fate for name, fate in fates.items() if kind.value in WAITS[name]}
    starts = [
        Start(MADE[name], happened, f"e/{name}", "k", in_shadow=fate == "shadow")
        for name, fate in fates.items()
        if fate in {"hit", "shadow"} and name in book
    ]
    why = {"shadow": Reason.SHADOW, "suppressed": Reason.ONCE}
    suppressed = [
        Suppressed(name, why[fate], "")
        for name, fate in fates.items()
        if fate in why and name in book
    ]
    return Plan(happened, tuple(starts), tuple(suppressed))


@given(st.lists(st.one_of(DECISIONS, RELOADS), max_size=25))
def test_the_counts_are_those_of_a_list_of_all_decisions(history):
    """Whatever is reloaded in between: counted one by one, or kept as sums."""
    clock = StoppedClock()
    counts = Counts(clock, MADE.values())
    book = {name: made.version for name, made in MADE.items()}
    since, seen = dict.fromkeys(book, clock.at), {name: [] for name in book}
    for each in history:
        clock.at += timedelta(seconds=1)
        if isinstance(each, tuple):
            kind, fates = each
            counts.watch(Decided(plan_of(kind, fates, book)))
            for name in book:
                seen[name] += [fates[name]] if kind.value in WAITS[name] else []
        else:
            for name in [name for name, version in each.items() if book.get(name) != version]:
                since[name], seen[name] = clock.at, []
            book = each
            rules = tuple(replace(MADE[name], version=each[name]) for name in each)
            counts.watch(Adopted(Rulebook(rules)))

    for name in book:
        fates = seen[name]
        held_back = {"once": fates.count("suppressed")} if "suppressed" in fates else {}
        assert counts.of(name) == RuleCount(
            since[name], fates.count("hit"), fates.count("shadow"), held_back, fates.count("miss")
        )


def test_a_match_of_an_older_version_is_not_counted_for_the_new_one():
    """It was matched before a reload and decided after it; misses would become negative."""
    newer = replace(MADE["talks"], version="v2", triggers=MADE["rings"].triggers)
    counts = Counts(StoppedClock(), [newer])
    for fate in ("hit", "suppressed"):
        counts.watch(Decided(plan_of(EventKind.MESSAGE, {"talks": fate}, {"talks"})))

    assert counts.of("talks") == RuleCount(T0)
