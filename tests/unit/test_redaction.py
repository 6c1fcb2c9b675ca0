"""Redaction: persons are gone, and rules decide as they did."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.redaction import Redaction, asked_for
from imbot.engine.situation import Situation
from imbot.model import Event, EventKind, ImSession, Participant, Reason, Suppressed
from imbot.testing.house import rulebook_of

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BOOK = rulebook_of("""
version: 1
vars: {best: platinum}
rules:
  - id: r
    trigger: {message: {contains: refund}}
    when: session.userData.tier == "gold" or session.userData.tier == vars.best
    do:
      - if: participant.digits == "4711"
        then: [{reply: Sure}]
""")


def situation(text="", number="030555", **user_data):
    session = ImSession("s1", "Talking", user_data, (Participant(number, number),))
    event = Event("bot1:1", EventKind.MESSAGE, NOW, NOW, "bot1", session, {"text": text})
    return Situation(event, NOW, said=(text,))


def redacted(of, **options):
    return Redaction(b"k", asked_for(BOOK.rules), **options).of(of)


def test_what_rules_ask_for_stays_and_nothing_else():
    """Replies are what rules say, not what they ask."""
    assert asked_for(BOOK.rules) == {"refund", "gold", "platinum", "4711"}

    text = redacted(situation("My name is Smith: REFUNDED 12 of 34567!")).event.fields["text"]

    assert "Smith" not in text
    assert "34567" not in text
    assert "REFUNDED 12" in text
    assert text.endswith("!")


def test_one_number_has_one_pseudonym_wherever_it_stands():
    """Whoever rang twice still rang twice."""
    found = redacted(situation("call 030555", phone="030555", tier="Gold", ok="yes"))
    session = found.event.session
    number = session.participants[0].phoneNumber

    assert number != "030555"
    assert len(number) == 6
    assert session.participants[0].digits == number
    assert session.user_data == {"phone": number, "tier": "Gold", "ok": "yes"}
    assert found.event.fields["text"].endswith(number)
    assert found.said == (found.event.fields["text"],)


def test_a_number_that_a_rule_asks_for_stays():
    assert redacted(situation(number="4711")).event.session.participants[0].digits == "4711"


def test_with_texts_only_numbers_are_replaced():
    found = redacted(situation("Smith 12345", name="Smith", phone="030555"), with_texts=True)

    assert found.event.fields["text"] == "Smith 12345"
    assert found.event.session.user_data["name"] == "Smith"
    assert found.event.session.user_data["phone"] != "030555"


def test_changes_bodies_and_reasons_are_redacted_too():
    """A detail may quote what was said."""
    changed = {"name": {"old": "Smith", "new": "Miller"}, "n": {"new": 5}, "l": {"new": ["Smith"]}}
    event = replace(situation().event, fields={"changed": changed})
    no = Suppressed("r", Reason.ONCE, "done for value Smith")
    found = redacted(
        Situation(
            event, NOW, marks={("r", "value Smith"): NOW}, suppressed=(no,), breakers={"r": "Smith"}
        )
    )

    assert "Smith" not in repr(found)
    assert found.event.fields["changed"]["n"] == {"new": 5}
    assert found.breakers == {}
    assert found.suppressed == (Suppressed("r", Reason.ONCE, ""),)


def test_numbers_that_are_no_text_are_redacted_as_well():
    """A hook may bring a telephone number as a plain number."""
    body = {"phone": 491701234567, "debt": -4712, "count": 12, "rate": 0.25, "vip": True}
    event = replace(situation().event, fields={"body": body})

    found = redacted(Situation(event, NOW)).event.fields["body"]

    assert found["phone"] != 491701234567
    assert isinstance(found["phone"], int)
    assert found["debt"] != -4712
    assert found["debt"] <= 0
    assert {**found, "phone": 0, "debt": 0} == {**body, "phone": 0, "debt": 0}


def test_the_key_decides_the_pseudonyms():
    """Two recordings can be made to fit each other, and without the key nobody can undo one."""
    one, again, other = (Redaction(key).of(situation("Smith")) for key in (b"a", b"a", b"b"))

    assert one == again
    assert one != other


@given(st.lists(st.text("0123456789", min_size=3, max_size=3), unique=True, max_size=40))
def test_two_numbers_never_share_a_pseudonym(numbers):
    redaction = Redaction(b"k")
    pseudonyms = [
        redaction.of(situation(number=number)).event.session.participants[0].digits
        for number in numbers
    ]

    assert len(set(pseudonyms)) == len(numbers)


@given(st.text(max_size=30))
def test_a_message_trigger_holds_for_the_pseudonyms_if_it_held(text):
    found = redacted(situation(text)).event.fields["text"]

    assert ("refund" in found.casefold()) is ("refund" in text.casefold())
