"""Tokens and how often one may ask."""

from hypothesis import given
from hypothesis import strategies as st

from imbot.admin.keys import PREFIX, Key, Keys, Role, hash_of, new_token
from imbot.admin.limits import Bucket


class Hands:
    """A clock that is moved by hand."""

    def __init__(self):
        self.at = 0.0

    def monotonic(self):
        return self.at


@given(st.lists(st.text(min_size=1), unique=True), st.text())
def test_a_token_is_its_owners_and_nobody_elses(tokens, other):
    keys = Keys(Key(f"k{n}", Role.READ, hash_of(token)) for n, token in enumerate(tokens))

    assert [keys.of(token).name for token in tokens] == [f"k{n}" for n in range(len(tokens))]
    assert (keys.of(other) is not None) is (other in tokens)
    assert bool(keys) is bool(tokens)


def test_tokens_are_long_and_never_the_same():
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(token.startswith(PREFIX) and len(token) >= 43 for token in made)


def test_a_role_may_what_those_before_it_may():
    assert Role.READ < Role.OPERATE < Role.ADMIN
    assert [role.word for role in Role] == ["read", "operate", "admin"]


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(0.1, 20), st.integers(1, 20))
def test_nobody_asks_more_than_a_bucket_gives(pauses, per_s, at_once):
    clock = Hands()
    bucket, taken = Bucket(clock, per_s=per_s, at_once=at_once), 0
    for pause_s in pauses:
        clock.at += pause_s
        while not bucket.wait_s("a") and taken < 1000:
            bucket.take("a")
            taken += 1
        assert taken <= at_once + per_s * clock.at + 1e-6
        assert not bucket.wait_s("b"), "others do not wait for it"
    if wait_s := bucket.wait_s("a"):
        clock.at += wait_s + 1e-6
        assert not bucket.wait_s("a")


def test_who_asked_longest_ago_is_forgotten_first(monkeypatch):
    monkeypatch.setattr("imbot.admin.limits._REMEMBERED", 2)
    bucket = Bucket(Hands(), per_s=0.001, at_once=1)
    for who in "abc":
        bucket.take(who)
    assert [bool(bucket.wait_s(who)) for who in "abc"] == [False, True, True]
