"""One of each change, and hypothesis strategies for any sequence of them."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from imbot.model import (
    Event,
    EventKind,
    GoodPoll,
    ImSession,
    Participant,
    Reason,
    SessionKey,
    Subscription,
    Suppressed,
)
from imbot.records import (
    AckSeen,
    EchoesLearnt,
    EchoSeen,
    EffectState,
    EventHandled,
    EventSeen,
    GapSeen,
    Intent,
    OnceMarked,
    OnceTakenBack,
    OrderGiven,
    OrderKind,
    OrderTaken,
    RuleSeen,
    RunSeen,
    RunState,
    SessionSeen,
    Strand,
    SubscriptionEnded,
    SubscriptionKept,
    TimerGone,
    TimerSet,
    Verdict,
)

T0 = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)


class StoppedClock:
    """It is always the same moment."""

    def __init__(self, at=T0):
        self.at = at

    def now(self):
        return self.at


def after(seconds):
    return T0 + timedelta(seconds=seconds)


def session(session_id="s1", state="Talking", **facts):
    return ImSession(
        session_id,
        state,
        user_data={"Tier": "gold", "n": 1, "deep": [{"ä": 1.5}]},
        participants=(Participant(phoneNumber="+49 30 1", digits="1"),),
        **facts,
    )


def event(number=1, *, session_id="s1", at=T0, kind=EventKind.STATE, **fields):
    return Event(
        id=f"bot1-{number}",
        kind=kind,
        at=at,
        received_at=at,
        agent="bot1",
        session=None if session_id is None else session(session_id),
        fields=fields,
    )


def message(number, text, *, session_id="s1", at=T0):
    return event(number, session_id=session_id, at=at, kind=EventKind.MESSAGE, text=text)


def run(number=1, state=RunState.RUNNING, *, rule_id="greet", session_id="s1", **facts):
    facts.setdefault("at", T0)
    return RunSeen(
        run_id=f"bot1-{number}/{rule_id}",
        event_id=f"bot1-{number}",
        rule_id=rule_id,
        rule_version="v1",
        key="k",
        state=state,
        pc=0,
        session=None if session_id is None else SessionKey("bot1", session_id),
        **facts,
    )


def intent(number=1, n=0, *, rule_id="greet", session_id="s1", **facts):
    facts.setdefault("at", T0)
    facts.setdefault("echo", "Hello")
    return Intent(
        effect_id=f"bot1-{number}/{rule_id}/0/{n}",
        run_id=f"bot1-{number}/{rule_id}",
        agent="bot1",
        session_id=session_id,
        rule_id=rule_id,
        action="reply",
        operation="SendMessage",
        payload={"text": "Hello"},
        **facts,
    )


def verdict(of, state, *, at=T0, detail="", result=None):
    return Verdict(of.effect_id, state, at, detail, result)


def seen(session_id="s1", *, completed_at=None, first_seen_at=T0, **facts):
    shown = session(session_id, "Talking" if completed_at is None else "Completed")
    return SessionSeen(
        facts.pop("agent", "bot1"),
        shown,
        first_seen_at,
        first_seen_at if completed_at is None else completed_at,
        completed_at=completed_at,
        **facts,
    )


_numbers = st.integers(1, 4)
_session_ids = st.sampled_from(["s1", "s2", "ä/2"])
_moments = st.integers(-200_000, 10).map(after)
_texts = st.text(max_size=6)
_numerals = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_plain = st.recursive(
    st.none() | st.booleans() | _numerals | _texts | _moments,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_facts = st.dictionaries(st.sampled_from(["a", "text"]), _plain, max_size=2)
_rules = st.sampled_from(["greet", "bye"])
_effects = st.builds(
    lambda number, rule_id, n: f"bot1-{number}/{rule_id}/0/{n}", _numbers, _rules, st.integers(0, 1)
)
_strands = st.lists(
    st.builds(
        Strand,
        st.integers(0, 9),
        st.none() | _moments,
        st.booleans(),
        st.lists(st.integers(0, 9), max_size=2).map(tuple),
    ),
    max_size=3,
).map(tuple)
_timer_ids = st.sampled_from(["t1", "t2"])
_some_sessions = st.builds(
    ImSession,
    _session_ids,
    st.sampled_from(["Talking", "Completed", " Odd"]),
    _facts,
    st.lists(st.builds(Participant, st.just("1")), max_size=2).map(tuple),
    st.none() | st.just(()) | st.just(("SendMessage",)),
    st.just(()) | st.just(("alias",)),
)
_said = st.builds(lambda number, text, sid: message(number, text, session_id=sid),
                  _numbers, st.just("hi") | st.just("ho"), _session_ids)  # fmt: skip
_events = _said | st.builds(
    Event,
    _numbers.map(lambda number: f"bot1-{number}"),
    st.sampled_from(EventKind).filter(lambda kind: kind is not EventKind.MESSAGE),
    _moments,
    _moments,
    st.just("bot1"),
    st.none() | _some_sessions,
    _facts,
    st.booleans(),
    st.booleans(),
)

changes = st.one_of(
    _events.map(EventSeen),
    st.builds(
        EventHandled,
        _numbers.map(lambda number: f"bot1-{number}"),
        _moments,
        st.just(("greet",)),
        st.just((Suppressed("bye", Reason.ONCE, "since ..."),)),
    ),
    st.builds(
        lambda number, rule, state, at, bound, sid, due, strands, why: run(
            number, state, rule_id=rule, session_id=sid, at=at
        )._replace(
            bound=bound, due_at=due, strands=strands, cancelled=why,
        ),
        _numbers, _rules, st.sampled_from(RunState), _moments, _facts,
        st.none() | _session_ids, st.none() | _moments, _strands, st.just("") | st.just("why"),
    ),
    st.builds(OrderGiven, _effects, st.sampled_from(OrderKind), st.just("ann"), _moments),
    st.builds(OrderTaken, _numbers, _moments, st.just("") | st.just("why")),
    st.builds(OnceMarked, _rules, _session_ids, st.just("r"), _moments),
    st.builds(OnceTakenBack, _rules, _session_ids),
    st.builds(
        lambda number, n, rule, sid, echo, payload: intent(
            number, n, rule_id=rule, session_id=sid, echo=echo
        )._replace(payload=payload),
        _numbers, st.integers(0, 1), _rules, _session_ids, st.none() | st.just("Hello"), _plain,
    ),
    st.builds(Verdict, _effects, st.sampled_from(EffectState), _moments, st.just("why"), _plain),
    st.builds(EchoSeen, _effects, _moments),
    st.builds(
        SessionSeen,
        st.sampled_from(["bot1", "bot2"]), _some_sessions, _moments, _moments,
        st.booleans(), st.none() | _moments, st.none() | _moments,
    ),
    st.builds(EchoesLearnt, st.floats(0, 1e6), st.booleans(), st.booleans()),
    st.builds(GapSeen, st.just("bot1"), st.just(("s1",)), _texts, _moments, _moments),
    st.builds(
        AckSeen, st.just("bot1"), _texts, st.none() | st.integers(),
        st.none() | st.builds(GoodPoll, _moments, _moments),
    ),
    st.builds(
        SubscriptionKept,
        st.sampled_from(["bot1", "bot2"]),
        st.builds(
            Subscription, _texts, _texts, st.booleans(), st.none() | _moments, _texts,
            st.lists(_texts, max_size=2).map(tuple),
            st.lists(st.just(("gws", "/", "a", "a=b", False, None)), max_size=2).map(tuple),
            st.dictionaries(_texts, _texts, max_size=1),
        ),
    ),
    st.builds(SubscriptionEnded, st.sampled_from(["bot1", "bot2"])),
    st.builds(
        TimerSet, _timer_ids, st.just("run"), _moments, st.just("bot1"), _session_ids, _plain
    ),
    st.builds(TimerGone, _timer_ids),
    st.builds(RuleSeen, st.just("v1"), _rules, st.just("r.yaml"), _texts),
)  # fmt: skip
"""Any change; ids are few, so that changes meet."""

groups = st.lists(st.tuples(st.booleans(), st.lists(changes, max_size=6)), max_size=6)
"""Calls of a store in order: whether the call is a commit (else a note), and its changes."""
