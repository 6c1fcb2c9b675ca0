"""imbot.discretion: who reads the log can follow a person, and neither call nor quote them."""

import json
import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.discretion import SAID, Discretion

TEL = re.compile(r"tel-[0-9a-f]{8}-[0-9]{2}")


def made(key=b"key"):
    discretion = Discretion()
    discretion.key = key
    return discretion


@pytest.mark.parametrize(
    "number",
    [
        *("+4915123456789", "+49 151 23456789", "0151 23456789", "0151/23456789", "015123456789"),
        *("(0151) 23456789", "0049 151 2345 6789", "+49-151-23456789"),
    ],
)
def test_a_number_has_one_pseudonym_however_it_is_written(number):
    discretion = made()

    told = discretion.text(f"no answer from {number}; later")

    assert told == f"no answer from {discretion.pseudonym('+4915123456789')}; later"
    assert TEL.search(told)[0].endswith("-89")


@pytest.mark.parametrize(
    "text", ["tel:{}", "/contacts/{}?a", "number={}&b", "n=%2B{}", "'{}'", "<{}>"]
)
def test_a_number_is_found_wherever_it_stands(text):
    assert "15123456789" not in made().text(text.format("4915123456789"))


@pytest.mark.parametrize(
    "text",
    [
        *("2026-03-02T11:00:00.123456Z", "2026-03-02 11:00", "10.0.12.123:8090", "http://a:65535/"),
        *("bot1-00000000012/rule/0", "no answer within 90 s", "12345", "v1.2.3456789", "a1234567"),
        *("1234567890123456", "#1234567"),
    ],
)
def test_other_numbers_stay(text):
    assert made().text(text) == text


def test_a_short_number_is_known_once_somebody_called_with_it():
    discretion = made()
    assert discretion.text("3001 is busy") == "3001 is busy"
    discretion.know("3001")

    assert TEL.match(discretion.text("3001 is busy"))
    assert discretion.text("13001 3001x") == "13001 3001x"


def test_another_key_gives_another_pseudonym():
    assert made(b"a").pseudonym("3001") != made(b"b").pseudonym("3001")


def test_what_was_said_is_cut_out_and_words_that_stand_anywhere_stay():
    discretion = made()
    discretion.hear(" my dog is called Rex ")
    discretion.hear("timeout")

    assert discretion.text("bad: 'my dog is called Rex'; timeout") == f"bad: '{SAID}'; timeout"


@pytest.mark.parametrize("quoted", [repr, json.dumps, str, lambda text: json.dumps(text)[1:-1]])
def test_what_was_said_is_cut_out_of_quotes(quoted):
    """An error writes what it does not like as Python or JSON write it."""
    discretion = made()
    said = "it\x1b[2J is Thomas M\u00fcller\u202e 'of' \"the\" Hague here"
    discretion.hear(said)

    told = discretion.text(f"no: {quoted(said)}")

    assert not {"Thomas", "Hague"} & {*re.findall("[A-Z][a-z]+", told)}


def test_names_stay_and_facts_of_any_depth_do_not():
    discretion = made()
    facts = {
        "session": "4915123456789",
        "cause": "session 4915123456789 of +4915123456780",
        "problems": [{"a": "+4915123456780"}, 5],
        "rows": 1234567,
    }

    told = discretion.facts(facts)

    tel = discretion.pseudonym("+4915123456780")
    assert told["cause"] == f"session 4915123456789 of {tel}"
    assert told["problems"] == [{"a": tel}, 5]
    assert (told["session"], told["rows"]) == ("4915123456789", 1234567)


def test_only_the_last_ones_are_kept():
    discretion = made()
    for number in range(1100):
        discretion.hear(f"text number {number:05}")
        discretion.know(f"{number:05}")

    assert discretion.text("text number 00000") == "text number 00000"
    assert "text number" not in discretion.text("text number 01099")


@given(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)), st.sampled_from([0, 1, 2, 3]))
def test_a_number_of_any_country_is_a_pseudonym_in_any_form(region, form):
    number = phonenumbers.example_number(region)
    text = phonenumbers.format_number(number, form)
    discretion = Discretion(region)

    told = discretion.text(f"cause: {text}.")

    digits = "".join(c for c in text if c.isdigit())
    assert len(digits) < 7 or digits not in "".join(c for c in told if c.isdigit())


@given(st.text())
def test_any_text_can_be_told(text):
    discretion = made()
    discretion.hear(text)
    discretion.know(text)

    assert isinstance(discretion.text(text), str)
