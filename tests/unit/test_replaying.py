"""Replaying: what rules would have done on a recorded day, and what differs between two."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from imbot.engine.situation import Situation
from imbot.loading import installed
from imbot.model import Event, EventKind, ImSession, Participant
from imbot.plugin import Model, Plugin, action
from imbot.pluginhost import Found, Plugins, PluginSettings, PluginStatus, find_plugins
from imbot.testing.house import rulebook_of
from imbot.testing.playing import Setting, play
from imbot.testing.replaying import difference, scene_of, stand_ins, without_acting

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
PLUGINS = find_plugins(PluginSettings(options={"crm": {"url": "http://crm.test"}}))
RULES = """
version: 1
rules:
  - {id: greet, trigger: {state: Talking}, once: session, do: [{reply: Hello}, {set: {a: x}}]}
  - {id: bye, trigger: {message: {equals: bye}}, do: [{reply: Bye}]}
  - {id: lost, trigger: {connection: [lost, gap]}, do: [{log: lost}]}
  - {id: vip, trigger: {userdata: [vip]}, do: [{reply: VIP}]}
  - {id: own, trigger: {userdata: [a]}, do: [{reply: somebody wrote a}]}
"""


class Day:
    """Writes a recording."""

    def __init__(self):
        self.situations = []

    def add(self, at_s, kind, state="Talking", *, session="s1", mine=False, data=None, **more):
        fields = {name: more.pop(name) for name in list(more) if name not in ("own", "resync")}
        at = START + timedelta(seconds=at_s)
        shown = session and ImSession(session, state, data or {}, (Participant("3002", "3002"),))
        number = len(self.situations) + 1
        event = Event(f"bot1:{number}", EventKind(kind), at, at, "bot1", shown or None, fields)
        self.situations.append(Situation(replace(event, **more), at, mine=mine))
        return self


def played(rules, day, **options):
    setting = Setting(
        books={(): rulebook_of(rules)},
        usable=without_acting(PLUGINS),
        nickname="Bot",
        secrets={},
        timezone="UTC",
        country="DE",
    )
    return play(scene_of(day.situations, **options), setting)


def told(result):
    return [(each.at_ms, each.action, each.args) for each in result.effects]


def test_rules_do_again_what_they_did_at_the_same_times():
    day = Day().add(0, "state").add(2.5, "message", text="bye").add(3, "state", "Completed")

    result = played(RULES, day)

    assert told(result) == [(0, "reply", "Hello"), (0, "set", {"a": "x"}), (2500, "reply", "Bye")]
    assert result.troubles == ()


def test_what_the_bot_did_then_is_left_out():
    """Or it would count as the deed of others."""
    day = Day().add(0, "state")
    day.add(1, "userdata", data={"a": "x"}, changed={"a": {"new": "x"}}, own=True)
    day.add(2, "message", text="hm", data={"a": "x"})

    assert [args for *_, args in told(played(RULES, day))] == ["Hello", {"a": "x"}]


def test_what_others_wrote_starts_rules():
    day = Day().add(0, "state").add(1, "userdata", data={"vip": "1"}, changed={"vip": {"new": "1"}})

    assert (1000, "reply", "VIP") in told(played(RULES, day))


def test_a_session_that_had_begun_before_the_recording_is_shown_first():
    assert (0, "reply", "Bye") in told(played(RULES, Day().add(0, "message", text="bye")))


def test_a_gap_shows_what_was_found_after_it():
    """What a resync found is the snapshot, and is no event of its own."""
    day = Day().add(0, "state")
    day.add(5, "connection", session=None, change="lost", reason="reset", seconds=0.0)
    day.add(9, "connection", session=None, change="restored", seconds=4.0)
    day.add(9, "state", "Completed", resync=True).add(9, "state", session="s2", resync=True)
    day.add(12, "message", text="bye", session="s2")

    result = played(RULES, day)

    assert result.troubles == ()
    assert [(each.at_ms, each.session, each.args) for each in result.effects] == [
        (0, "s1", "Hello"),
        (0, "s1", {"a": "x"}),
        (9000, "s2", "Hello"),
        (9000, "s2", {"a": "x"}),
        (12000, "s2", "Bye"),
    ]


def test_what_is_heard_while_a_connection_is_lost_shows_that_it_is_back():
    """A recording may end, or begin, anywhere."""
    day = Day().add(0, "state")
    day.add(5, "connection", session=None, change="lost")
    day.add(6, "message", text="bye")

    assert told(played(RULES, day))[-1] == (6000, "reply", "Bye")


def test_a_session_that_imbot_began_is_begun_by_the_rules_again():
    begin = """
version: 1
rules:
  - id: call
    trigger: {message: any}
    do: [{initiate: {to: "4000", agent: bot1}}, {reply: It is me}]
"""
    day = Day().add(0, "state").add(1, "message", text="x")
    day.add(2, "state", session="n7", mine=True)

    result = played(begin, day)

    assert [(each.session, each.action) for each in result.effects] == [
        ("n7", "initiate"),
        ("n7", "reply"),
    ]


def test_silences_come_of_the_engine_and_not_of_the_recording():
    """Other rules wait for other silences. An hour after the last event is played, or until."""
    rules = """
version: 1
rules: [{id: idle, trigger: {idle: 5m}, do: [{reply: Still there?}]}]
"""
    day = Day().add(0, "state").add(300, "idle", idle=300.0)

    assert told(played(rules, day)) == [(300_000, "reply", "Still there?")]
    assert told(played(rules, day, until=START + timedelta(seconds=299))) == []
    assert told(played(rules, day, until=START)) == []


def test_an_empty_recording_plays_nothing():
    assert told(played(RULES, Day())) == []


def test_the_difference_has_what_only_one_has():
    day = Day().add(0, "state").add(1, "message", text="bye")
    old = played(RULES, day)
    new = played(RULES.replace("reply: Bye", "reply: Ciao"), day)

    assert difference(old, old) == ()
    assert [(sign, effect.args, effect.at_ms) for sign, effect in difference(old, new)] == [
        ("-", "Bye", 1000),
        ("+", "Ciao", 1000),
    ]


def test_the_same_effect_at_another_time_is_a_difference():
    day = Day().add(0, "state").add(1, "message", text="bye")
    later = Day().add(0, "state").add(2, "message", text="bye")

    changes = difference(played(RULES, day), played(RULES, later))

    assert [(sign, effect.at_ms) for sign, effect in changes] == [("-", 1000), ("+", 2000)]


async def test_actions_of_others_do_nothing():
    """They may reach the world past the doors."""

    class Args(Model):
        text: str

    @action("pager.send", args=Args)
    async def send(_ctx, _args):
        """Send."""
        raise AssertionError

    shipped_one = PLUGINS.found[0]
    pager = Plugin("pager", actions=(send,))
    foreign = Found("pager", "/somewhere/pager.py", PluginStatus.ENABLED, plugin=pager)
    both = Plugins((*PLUGINS.found, foreign))

    usable = without_acting(both)

    assert await usable["pager.send"].action.run(None, Args(text="x")) is None
    name = shipped_one.actions[0].name
    assert usable[name].action is installed(PLUGINS)[name].action


def test_no_secret_is_played():
    assert stand_ins(["CRM_URL"]) == {"CRM_URL": "https://crm-url.secret"}
