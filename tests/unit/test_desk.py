"""What the desk chooses and in which order; the rest is tested with a whole imbot."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.admin import forms
from imbot.admin.counts import Counts
from imbot.admin.desk import Desk
from imbot.admin.routing import Asked
from imbot.engine.switches import Switches
from imbot.gws.status import AgentState, AgentStatus
from imbot.rulebook.schema import Rulebook
from tests.unit.rulebooks import rule
from tests.unit.store_samples import T0, StoppedClock

MADE = rule("    do: [{log: x}]\n")


async def asked(office, path, query):
    """Return what the desk answers to a GET."""
    routes = Desk(SimpleNamespace(**office)).routes
    (route,) = [each for each in routes if (each.method, each.path) == ("GET", path)]
    return await route.answers(Asked("somebody", {}, query))


agents = st.lists(
    st.builds(
        AgentStatus, st.text("abc", max_size=3), st.sampled_from(AgentState), since=st.just(T0)
    ),
    max_size=12,
    unique_by=lambda status: status.user,
)


@given(agents, st.integers(1, 5), st.sampled_from([None, "a", "bc"]))
async def test_agents_in_trouble_come_first_and_all_are_counted(statuses, limit, user):
    """Of a thousand agents, the one that is locked must be on the first page."""
    query = forms.AgentQuery(limit=limit, user=user)
    found = await asked({"agents": lambda: statuses}, "/agents", query)

    wanted = [status for status in statuses if (user or "") in status.user]
    troubled = sorted(status.user for status in wanted if status.state is not AgentState.UP)
    well = sorted(status.user for status in wanted if status.state is AgentState.UP)
    assert [one.user for one in found.agents] == [*troubled, *well][:limit]
    assert sum(found.states.values()) == len(statuses)


@pytest.mark.parametrize(
    ("query", "ids", "total"),
    [
        ({}, ["greet", "greet-vip", "bye"], 3),
        ({"limit": 1}, ["greet"], 3),
        ({"find": "GREET"}, ["greet", "greet-vip"], 2),
        ({"find": "hours", "limit": 5}, ["bye"], 1),
        ({"find": "nothing"}, [], 0),
    ],
)
async def test_rules_are_found_by_a_part_of_what_they_are_called(query, ids, total):
    """Of a thousand rules, a page shows those that somebody looks for; by default it has all."""
    told = {"greet": "", "greet-vip": "", "bye": "Outside of the Hours."}
    rules = tuple(replace(MADE, id=name, description=text) for name, text in told.items())

    async def nothing(_):
        return ()

    office = {
        "clock": SimpleNamespace(monotonic=lambda: 0.0),
        "reader": SimpleNamespace(look=nothing),
        "book": lambda: Rulebook(rules),
        "breakers": dict,
        "counts": Counts(StoppedClock(), rules).of,
        "steering": SimpleNamespace(switches=Switches()),
    }
    found = await asked(office, "/rules", forms.RuleQuery(**query))

    assert ([one.id for one in found.rules], found.total) == (ids, total)
    assert all((one.since, one.hits, one.misses) == (T0, 0, 0) for one in found.rules)
