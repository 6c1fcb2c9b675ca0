"""The errors: which branch means what."""

import pytest

from imbot.errors import (
    ActionError,
    AmbiguousError,
    ConfigError,
    Fault,
    FaultClass,
    ImbotError,
    PermanentError,
    RulebookError,
    TemporaryError,
)
from imbot.problems import Place, Problem

PROBLEMS = [Problem(Place("a", 1, 1), "x", "one"), Problem(Place("a", 2, 1), "y", "two")]


@pytest.mark.parametrize("kind", [ConfigError, RulebookError])
def test_an_error_of_files_carries_every_problem(kind):
    """One line each."""
    error = kind(iter(PROBLEMS))

    assert error.problems == tuple(PROBLEMS)
    assert str(error) == "a:1:1: error[x]: one\na:2:1: error[y]: two"
    assert isinstance(error, ImbotError)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (TemporaryError, "temporary"),
        (AmbiguousError, "ambiguous"),
        (PermanentError, "permanent"),
        (ActionError, "permanent"),
    ],
)
def test_the_branch_of_an_action_error_has_a_word_for_rules(kind, word):
    """`error.kind` in on_error."""
    assert kind("why").kind == word
    assert str(kind("why")) == "why"


def test_the_pause_that_a_peer_asks_for_comes_along():
    """It stands in the fault where there is one."""
    fault = Fault(FaultClass.SERVER, http_status=503, retry_after_s=7.0)

    assert TemporaryError("busy", fault=fault).retry_after_s == 7.0
    assert TemporaryError("busy", retry_after_s=3.0).retry_after_s == 3.0
    assert TemporaryError("busy").retry_after_s is None


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(FaultClass.TRANSPORT), "transport"),
        (
            Fault(FaultClass.AUTH, 20, 403, "Access denied"),
            "auth HTTP 403 statusCode 20: Access denied",
        ),
        (Fault(FaultClass.CONFLICT, status_code=6), "conflict statusCode 6"),
    ],
)
def test_a_fault_tells_its_facts_on_one_line(fault, text):
    """As far as they are known."""
    assert str(fault) == text
