"""Rules of imbot/secretnames.py: too few leak, too many hide what an operator looks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.secretnames import is_secret_name


@pytest.mark.parametrize(
    "name",
    [
        *("password", "CRM_TOKEN", "api-key", "X-Api-Key", "Authorization", "client.secret"),
        *("crmToken", "client_secret", "set-cookie", "PRIVATE_KEY", "db pwd"),
    ],
)
def test_names_of_secrets_are_known_by_their_last_word(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["tokens", "tokens_left", "key", "author", "Content-Type", ""])
def test_other_names_are_not_hidden(name):
    assert not is_secret_name(name)


@given(st.text())
def test_spelling_does_not_hide_a_secret(name):
    """Not one case, dash or prefix more or less."""
    assert is_secret_name(f"{name}-Pass_Word")
