"""Secrets are nowhere in what is kept or shown."""

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.secrecy import Secrets, stand_in

TOKEN = "canary/of the mine+1"
IN_ITS_PLACE = "https://crm-token.secret"


@pytest.mark.parametrize(
    "written",
    [
        TOKEN,
        quote(TOKEN),
        quote(TOKEN, safe="").lower(),
        quote_plus(TOKEN),
        TOKEN.upper(),
        json.dumps({"key": TOKEN}),
        repr(TOKEN),
    ],
)
def test_a_secret_is_found_as_it_may_be_written(written):
    told = Secrets({"CRM_TOKEN": TOKEN}).cut_text(f"GET /?key={written}: no")

    assert "canary" not in told.lower()
    assert IN_ITS_PLACE in told


def test_it_is_cut_at_every_depth_and_out_of_keys():
    cut = Secrets({"CRM_TOKEN": TOKEN}).cut({TOKEN: [1, None, {"a": (f"Bearer {TOKEN}",)}]})

    assert cut == {IN_ITS_PLACE: [1, None, {"a": [f"Bearer {IN_ITS_PLACE}"]}]}


def test_of_two_the_longer_is_cut():
    """A part of it would be left otherwise."""
    secrets = Secrets({"A": "canary", "B": "canary bird"})

    assert secrets.cut("a canary bird") == f"a {stand_in('B')}"


def test_a_short_one_is_not_cut_out_of_answers():
    """What a service says is looked at by rules: ``2026`` may be a year."""
    secrets = Secrets({"PIN": "2026", "TOKEN": TOKEN})

    assert secrets.cut({"pin": "2026"}) == {"pin": stand_in("PIN")}
    assert secrets.cut_answer(["2026", TOKEN]) == ["2026", stand_in("TOKEN")]


def test_an_address_is_not_cut_out_of_answers():
    """A customer is to follow the link that the shop gave; one with a path may be a key."""
    secrets = Secrets({"SHOP_URL": "https://shop.test", "HOOK": "https://hooks.test/T0/B0/x"})
    links = ["https://shop.test/orders/7", "https://hooks.test/T0/B0/x"]

    assert secrets.cut_answer(links) == [links[0], stand_in("HOOK")]


@pytest.mark.parametrize("secrets", [Secrets(), Secrets({"EMPTY": ""})])
def test_without_secrets_everything_stays(secrets):
    value = {"a": "b"}

    assert secrets.cut(value) is value
    assert secrets.cut_answer(value) is value
    assert secrets.cut_text("ab") == "ab"


@given(st.text(min_size=1).filter(lambda text: text not in stand_in("X")), st.text(), st.text())
def test_whatever_a_secret_is_it_is_cut(secret, before, after):
    cut = Secrets({"X": secret}).cut

    assert stand_in("X") in cut(f"{before}{secret}{after}")
    assert stand_in("X") in cut(f"{before}{json.dumps(secret)}{after}")
    assert cut({secret: [secret]}) == {stand_in("X"): [stand_in("X")]}
