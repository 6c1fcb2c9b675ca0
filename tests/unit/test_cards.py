"""imbot.cards: numbers of cards are masked, phone numbers and others are not."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.cards import masked, masked_item, masked_value
from imbot.engine.echoes import normalised
from tests.cardnumbers import card, phone_numbers, written


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("4111 1111 1111 1111", "**** **** **** 1111"),
        ("my card: 4111111111111111.", "my card: ************1111."),
        ("4111-1111-1111-1111 12/27 123", "****-****-****-1111 12/27 ***"),
        ("3782 822463 10005, code 1234", "**** ****** *0005, code ****"),
        ("a4111111111111111b", "a************1111b"),
        ("4111\n1111\r\n1111\t1111", "****\n****\r\n****\t1111"),
        ("4012888888881881 5555555555554444", "************1881 ************4444"),
        ("\uff14\uff11" + 14 * "\uff11", 12 * "*" + 4 * "\uff11"),
        ("\u2463" + 15 * "\u00b9", 12 * "*" + 4 * "\u00b9"),
        ("+4111111111111111", "+************1111"),
        ("030 1234567 4111 1111 1111 1111", "030 1234567 **** **** **** 1111"),
        ("CVV 123", "CVV ***"),
        ("cvv2: 1234", "cvv2: ****"),
        ("cvv123", "cvv***"),
        ("The security code is 987!", "The security code is ***!"),
        ("Kartenpr\u00fcfnummer lautet 456", "Kartenpr\u00fcfnummer lautet ***"),
        ("Sicherheitscode = 4567", "Sicherheitscode = ****"),
    ],
)
def test_a_card_is_masked_however_it_is_written(text, shown):
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        *("", "no digit at all", "4111 1111 1111 1112", "order 4711", "2026-03-02 11:00:00"),
        *("+49 151 23456789", "+4915123456787", "0049 151 2345 6786", "00 4915123456787"),
        *("tel:+49-151-2345-6786", "(+49) 151 23456786", "1772449200000", "12 34 56 78 90 12 34"),
        *("7111111111111111", "41111111111111111112", "security of 123 codes", "cvv 12345"),
    ],
)
def test_other_numbers_stay(text):
    assert masked(text) == text


def test_where_it_may_be_several_numbers_nothing_is_left_of_them():
    """The last four of the longer one could be the check digits behind the shorter."""
    shown = {masked(f"4111111111111111 {number:03}") for number in range(1000)}

    assert shown == {"*" * 12 + "1111 ***", "*" * 16 + " ***"}


def test_a_run_of_digits_without_end_is_masked_whole():
    assert masked("7 " * 2000) == "* " * 2000


def test_the_key_says_what_a_value_is():
    assert masked_item("CVV", "123") == ("CVV", "***")
    assert masked_item("card_cvc", 1234) == ("card_cvc", "****")
    assert masked_item("count", "123") == ("count", "123")
    assert masked_item("CallerNumber", "4915123456787") == ("CallerNumber", "4915123456787")
    assert masked_item("ANI", 4915123456787) == ("ANI", 4915123456787)
    assert masked_item("phone", "4111111111111111") == ("phone", "************1111")
    assert masked_item("company", "4915123456787") == ("company", "*********6787")


def test_plain_values_are_masked_at_any_depth():
    value = {"4111111111111111": [4111111111111111, 4111111111111111.0, {"a": "4111111111111111"}]}

    assert masked_value(value) == {
        "*" * 12 + "1111": ["*" * 12 + "1111"] * 2 + [{"a": "*" * 12 + "1111"}]
    }
    assert masked_value([True, None, 1.5, -3, float("inf")]) == [True, None, 1.5, -3, float("inf")]


def test_ten_thousand_numbers_as_people_write_them():
    random = Random(4)  # noqa: S311  reproducible
    left = []
    for _ in range(10_000):
        number = card(random)
        text = f"it is {written(number, random)}, thanks"
        if sum(c.isdigit() for c in masked(text)) > 4:
            left.append(text)

    assert left == []


def test_less_than_one_phone_number_in_a_hundred_is_taken_for_a_card():
    """Five ways to write those of the whole world; the one without + or 00 is the worst."""
    random = Random(5)  # noqa: S311  reproducible
    taken = sum(masked(text) != text for text in phone_numbers(100_000, random))

    assert taken < 1000


TEXTS = st.text(st.sampled_from("0123456789 -.,+*cv\u0660\u0301\n\r")) | st.text()


@given(TEXTS)
def test_what_is_masked_stays_as_it_is(text):
    """Our own text comes back from the wire masked once more."""
    assert masked(masked(text)) == masked(text)
    assert len(masked(text)) == len(text)


@given(TEXTS)
def test_the_echo_of_our_own_text_is_known_though_it_is_masked(text):
    """A reply may hold a number of an order that looks like one of a card."""
    assert normalised(masked(text)) == normalised(text)


@given(st.integers(0, 10_000))
def test_a_reply_with_the_number_of_a_card_is_known_by_its_echo(seed):
    random = Random(seed)  # noqa: S311  reproducible
    text = f"your order {written(card(random), random)} is ready"

    assert normalised(masked(text)) == normalised(text)
    assert masked(masked(text)) == masked(text)


@given(
    st.sampled_from(
        [
            "cvv",
            "cvc2",
            "cvn",
            "card verification value",
            "security-code",
            "security_code",
            "cardverification",
            "Kartenpr\u00fcfnummer",
            "pr\u00fcfziffern",
            "sicherheitscode",
            "sicherheitsnummer",
            "c\u00f3digo de seguridad",
            "code de s\u00e9curit\u00e9",
            "cryptogramme",
            "card VER\u0131F\u0131CATION",
            "\u017fecurity code",
        ]
    ),
    st.sampled_from([str.lower, str.upper, str.title, str]),
    st.integers(100, 9999),
)
def test_check_digits_are_found_after_each_of_their_names_however_it_is_written(
    name, spelt, digits
):
    """What is looked for first, since it is found sooner, must let none of them through."""
    assert masked(f"it: {spelt(name)} {digits}") == f"it: {spelt(name)} " + "*" * len(str(digits))
