"""Rules are reloaded while imbot serves: what was promised is neither lost nor changed."""

import asyncio
from dataclasses import replace
from functools import cache

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from imbot.errors import ConfigError
from imbot.loading import installed
from imbot.model import MessageNotice
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.problems import Place, Problem
from imbot.testing.fake_gws import FakeGws
from imbot.testing.house import build, rulebook_of
from imbot.testing.memory_store import MemoryStore
from imbot.testing.time import LoopClock
from imbot.testing.virtual_loop import VirtualLoop
from tests.flow.stage import MONDAY_NOON, Imbot

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(120)]

RULES = """
version: 1
calendars:
  support: {open: {mon-fri: "08:00-18:00"}}
rules:
  - id: patient
    trigger: {state: Talking}
    once: session
    when: open("support")
    do:
      - reply: {text: "Your name?"}
      - set: {asked: "yes"}
      - wait_for: {message: any}
        timeout: 1m
        as: told
      - reply: {text: "One moment, {{ told.message.text }}."}
      - wait: 30s
      - parallel:
          - [{wait: 5s}, {set: {first: "yes"}}]
          - [{reply: {text: "Thank you for waiting."}}]
  - id: silent
    trigger: {idle: 1m}
    do: [{reply: {text: "Are you still there?"}}]
  - id: round
    trigger: {every: 15m}
    do: [{log: "Another quarter of an hour."}]
"""
#: The same run, in other words.
CHANGED = RULES.replace("Your name", "And you are").replace("One moment", "Wait")
#: Other rules around the run.
OTHERS = RULES.replace("idle: 1m", "idle: 2m").replace("every: 15m", "every: 7m")
#: Without the run's rule.
WITHOUT = RULES[: RULES.index("calendars")] + "rules:\n" + RULES[RULES.index("  - id: silent") :]
GONE = "version: 1\nrules: []\n"
WRONG = RULES.replace("wait: 30s", "wiat: 30s")

HEARD = ["Your name?", "One moment, Ann.", "Thank you for waiting."]


# In a whole imbot -------------------------------------------------------------------------------


@pytest.fixture
def rules(tmp_path):
    """Return the rule file."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


async def reload(imbot, rules, text):
    """Put this into the file and have it reloaded."""
    rules.write_text(text)
    imbot.app.reloader.ask()
    await asyncio.sleep(0.01)


async def talk(stage, between):
    """Let a conversation go on, and something happen in each of its waits; return it."""
    call = stage.ring()
    await stage.seconds(10)
    await between()
    await stage.seconds(10)
    call.say("Ann")
    await stage.seconds(10)
    await between()
    await stage.seconds(30)
    return call


@pytest.mark.parametrize("text", [RULES, CHANGED, OTHERS, GONE, WRONG])
async def test_a_run_under_way_ends_on_its_version(stage, rules, text):
    """Whoever was asked for a name by one rule is not thanked by another."""
    imbot = await stage.start(rules)

    call = await talk(stage, lambda: reload(imbot, rules, text))

    assert call.heard == HEARD
    assert call.user_data == {"asked": "yes", "first": "yes"}


async def test_a_run_under_way_ends_on_its_version_after_a_kill_too(stage, rules):
    """The version that a reload brought is kept like those of a start."""
    imbot = await stage.start(rules)
    await reload(imbot, rules, CHANGED)

    async def between():
        nonlocal imbot
        imbot.kill()
        rules.write_text(GONE)
        await stage.seconds(1)
        imbot = await stage.start(rules)

    call = await talk(stage, between)

    assert call.heard == ["And you are?", "Wait, Ann.", "Thank you for waiting."]


@pytest.mark.parametrize("then", [GONE, None], ids=["gone", "other hours"])
async def test_a_run_under_way_asks_the_calendar_of_its_version(stage, rules, then):
    """What closes now was open when somebody was promised to be asked again."""
    text = RULES.replace("wait: 30s", "if: open('support')\n        then: [{reply: We are open.}]")
    rules.write_text(text)
    imbot = await stage.start(rules)
    other = text.replace("08:00-18:00", "16:00-18:00") if then is None else then

    call = await talk(stage, lambda: reload(imbot, rules, other))

    assert "We are open." in call.heard


async def test_after_a_reload_events_meet_the_new_rules(stage, rules):
    imbot = await stage.start(rules)
    await reload(imbot, rules, CHANGED)
    call = stage.ring()
    await stage.seconds(5)

    assert call.heard == ["And you are?"]
    assert imbot.app.rulebook.rules[0].version != rulebook_of(RULES).rules[0].version


async def test_wrong_rules_change_nothing_and_every_mistake_is_told(stage, rules, capsys):
    imbot = await stage.start(rules)
    await reload(imbot, rules, WRONG + "  - id: other\n")
    call = stage.ring()
    await stage.seconds(5)

    assert call.heard == ["Your name?"]
    told = capsys.readouterr().out
    assert "reload.refused" in told
    assert f"{rules}:17:9: error[unknown-action]: unknown action" in told
    assert f"{rules}:27:5: error[missing-key]: a rule without" in told


async def test_a_rule_file_that_is_gone_changes_nothing(stage, rules, capsys):
    imbot = await stage.start(rules)
    rules.unlink()
    imbot.app.reloader.ask()
    call = stage.ring()
    await stage.seconds(5)

    assert call.heard == ["Your name?"]
    assert "cannot be read" in capsys.readouterr().out


async def test_a_folder_that_has_become_empty_changes_nothing(stage, tmp_path, capsys):
    """A disk that is gone, or files on their way; who wants no rules writes a file that says so."""
    folder = tmp_path / "rules"
    folder.mkdir()
    rules = folder / "rules.yaml"
    rules.write_text(RULES)
    imbot = await stage.start(folder)
    rules.unlink()
    imbot.app.reloader.ask()
    call = stage.ring()
    await stage.seconds(5)

    assert call.heard == ["Your name?"]
    told = capsys.readouterr().out
    assert "reload.refused" in told
    assert f"no rule file in '{folder}'" in told
    await reload(imbot, rules, GONE)
    assert imbot.app.rulebook.rules == ()


async def test_a_mistake_of_our_own_changes_nothing(stage, rules, monkeypatch, capsys):
    """A loader that breaks must not end what runs."""
    imbot = await stage.start(rules)
    monkeypatch.setattr("imbot.reloading.Index", lambda _: 1 / 0)
    await reload(imbot, rules, CHANGED)
    call = stage.ring()
    await stage.seconds(5)

    assert call.heard == ["Your name?"]
    assert "ZeroDivisionError" in capsys.readouterr().out


async def test_memory_settles_whenever_rules_come_into_force(stage, rules):
    """A collector that looks through all rules again and again holds everybody up."""
    settled = []
    before = await stage.start(rules)
    await before.stop()
    ports = replace(before.ports, settle=lambda: settled.append(imbot.app.rulebook))
    imbot = Imbot(before.loaded, ports)
    stage.imbots.append(imbot)

    await imbot.start()
    await imbot.until_up()
    await reload(imbot, rules, CHANGED)
    await reload(imbot, rules, WRONG)

    first, second = settled
    assert first != second == imbot.app.rulebook


async def test_silences_and_marks_go_on_through_a_reload(stage, rules):
    """A rule that is as it was does not notice: its minute is not measured anew."""
    text = RULES.replace("Your name?", "Name?")
    imbot = await stage.start(rules)
    call = stage.ring()
    await stage.seconds(50)
    await reload(imbot, rules, text)
    await stage.seconds(9)
    before = list(call.heard)
    await stage.seconds(3)

    assert (before, call.heard) == (["Your name?"], ["Your name?", "Are you still there?"])


async def test_rules_are_reloaded_when_files_change(stage, rules):
    """What tells of it may break; then a signal still reloads."""
    changed = asyncio.Event()
    asked = []

    async def changes(paths):
        asked.append(list(paths))
        await changed.wait()
        yield
        raise OSError("no more watches")

    first = await stage.start(rules)
    await first.stop()
    again = Imbot(first.loaded, replace(first.ports, changes=changes))
    stage.imbots.append(again)
    await again.start()
    await again.until_up()
    rules.write_text(CHANGED)
    changed.set()
    await stage.seconds(1)

    assert asked == [[rules]]
    assert "And you are" in again.app.rulebook.rules[0].source
    await reload(again, rules, GONE)
    assert again.app.rulebook.rules == ()


WARNED = RULES.replace("version: 1\n", "version: 1\nvars: {unused: 1}\n")


async def test_a_reload_tells_what_check_would_warn_of(stage, rules):
    imbot = await stage.start(rules)
    with capture_logs() as logs:
        await reload(imbot, rules, WARNED)
        await reload(imbot, rules, RULES)

    (told,) = [each for each in logs if each["event"] == "rules.warned"]
    assert told["problems"]
    assert all("warning" in each for each in told["problems"])


async def test_a_reload_tells_which_settings_wait_for_a_restart(stage, rules):
    """They are not taken over, and nobody would know; no value is told, it may be secret."""
    first = await stage.start(rules, secrets={"TOKEN": "canary-1", "OLD": "canary-2"})
    await first.stop()
    now = first.loaded.settings.model_copy(
        update={
            "secrets": {"TOKEN": SecretStr("canary-3"), "NEW": SecretStr("canary-4")},
            "bot": first.loaded.settings.bot.model_copy(update={"nickname": "Ann"}),
            "timezone": "UTC",
        }
    )
    again = Imbot(first.loaded, replace(first.ports, settings=lambda: now))
    stage.imbots.append(again)
    await again.start()
    with capture_logs() as logs:
        await reload(again, rules, CHANGED)

    (told,) = [each for each in logs if each["event"] == "reload.settings_wait"]
    names = ["bot.nickname", "secrets.NEW", "secrets.OLD", "secrets.TOKEN", "timezone"]
    assert sorted(told["settings"]) == names
    assert "canary" not in str(logs)
    assert "And you are" in again.app.rulebook.rules[0].source


async def test_settings_that_are_wrong_meanwhile_are_told_and_the_rules_are_reloaded(stage, rules):
    first = await stage.start(rules)
    await first.stop()

    def wrong():
        raise ConfigError([Problem(Place("imbot.yaml", 3, 1), "unknown-key", "no", "yes")])

    again = Imbot(first.loaded, replace(first.ports, settings=wrong))
    stage.imbots.append(again)
    await again.start()
    with capture_logs() as logs:
        await reload(again, rules, CHANGED)

    told = {each["event"]: each for each in logs}
    assert "imbot.yaml:3:1" in told["reload.settings_wrong"]["problems"][0]
    assert told["reload.done"]["changed"] == ["patient"]


# At every moment --------------------------------------------------------------------------------


class OneByOne(MemoryStore):
    """A store that lets others go on whenever it is asked for something."""

    async def commit(self, changes):
        await asyncio.sleep(0)
        await super().commit(changes)
        await asyncio.sleep(0)


class OneByOneGws(FakeGws):
    """A GWS that lets others go on before and after each operation."""

    async def _take(self, done):
        await asyncio.sleep(0)
        await super()._take(done)
        await asyncio.sleep(0)


@cache
def book_of(text):
    return rulebook_of(text)


USABLE = installed(find_plugins(PluginSettings(options={"crm": {"url": "http://crm.test"}})))

#: A conversation has so many moments at which something begins, each over after so many cycles.
MOMENTS, CYCLES = 5, 40


async def told(book, moment, cycles):
    """Return the effects of a conversation; this book is put in force in a cycle of the loop."""
    clock = LoopClock(MONDAY_NOON)
    house = build(
        book_of(RULES), agents={"bot1": OneByOneGws()}, store=OneByOne(), clock=clock, usable=USABLE
    )
    await house.start()
    for number in range(MOMENTS):
        match number:
            case 0:
                begun = house.state("Talking", settle=False)
            case 1:
                begun = house.hear(MessageNotice("s1", "Ann", clock.now()))
            case 2:
                begun = asyncio.sleep(30 - 1)
            case 3:
                begun = asyncio.sleep(5 - 1)
            case _:
                begun = asyncio.sleep(60)
        beginning = asyncio.create_task(begun)
        if number > 1:
            await beginning
        if number == moment:
            for _ in range(cycles):
                await asyncio.sleep(0)
            await house.adopt(book, house.flow.view.around)
        await beginning
        await asyncio.sleep(1)
    await house.stop()
    return [(done.name, done.given) for done in house.gws["bot1"].done]


def play(text, moment, cycles):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(told(book_of(text), moment, cycles))


@cache
def undisturbed():
    """Return the effects of the conversation when nothing is reloaded."""
    return play(RULES, -1, 0)


@pytest.mark.parametrize("text", [RULES, CHANGED, WITHOUT], ids=["same", "changed", "gone"])
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_reload_at_any_await_changes_no_effect_of_a_run(text, moment):
    """What has begun ends as it began; only what has not may follow the new rules."""
    effects = [play(text, moment, cycles) for cycles in range(CYCLES)]

    began = [each == undisturbed() for each in effects]
    assert began == sorted(began), "once the run has begun, it goes on as it was"
    assert began[-1]
    if moment > 0 or text == RULES:
        assert all(began)


def test_the_conversation_that_is_disturbed_is_a_whole_one():
    """The test above would show nothing where nothing happens."""
    texts = [given["text"] for name, given in undisturbed() if name == "SendMessage"]

    assert texts == [*HEARD, "Are you still there?"]
    assert play(CHANGED, 0, 0) != undisturbed()
