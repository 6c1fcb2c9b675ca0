"""A tested day: 1,440 firings of a schedule and 200 events, as ``imbot test`` plays them.

Loading is measured apart: reading the test, and reading and checking its rules. What is played is
compared with what the test expects, effect for effect; one that does not pass is no measurement.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.measuring import MS, US, Rounds, cpu_us
from benchmarks.report import Goal, Result, Table, cell
from imbot.loading import installed
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.testing.comparing import compare
from imbot.testing.house import rulebook_of
from imbot.testing.playing import Setting, play
from imbot.testing.script import NICKNAME, RuleTest
from imbot.testing.script_reading import read_script

MINUTES = 1440
EVENTS = 200

RULES = """
version: 1
rules:
  - id: tick
    trigger: {every: 1m, timezone: Europe/Berlin}
    do:
      - http: {post: "https://x.test/tick"}
  - id: hello
    trigger: {state: Talking}
    once: session
    do:
      - reply: Hello.
  - id: echo
    trigger: {message: any}
    do:
      - reply: "You said {{ message.text }}"
"""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: days of so many minutes, in so many rounds."""

    minutes: int = MINUTES
    rounds: int = 7


QUICK = Effort(rounds=3)


def text_of(minutes: int = MINUTES) -> str:
    """Return the test: each session says hello, twice something, and ends."""
    events, expect = [], [f"{{at: {m}m, http: {{post: /tick/}}}}" for m in range(1, minutes + 1)]
    for number in range(minutes * EVENTS // MINUTES):
        head = f"at: {number * 430 + 7}s, session: s{number // 4}"
        match number % 4:
            case 0:
                events.append(f"{{{head}, state: Talking}}")
                expect.append(f"{{{head}, reply: Hello.}}")
            case 3:
                events.append(f"{{{head}, state: Completed}}")
            case _:
                events.append(f"{{{head}, message: hi {number}}}")
                expect.append(f"{{{head}, reply: /hi {number}$/}}")
    return "\n".join(_lines(events, expect))


def _lines(events: list[str], expect: list[str]) -> Iterator[str]:
    yield "tests:"
    yield "  - name: a day"
    yield "    start: 2026-03-02T00:00:00+01:00"
    yield "    events:"
    yield from (f"      - {event}" for event in events)
    yield "    expect:"
    yield from (f"      - {effect}" for effect in expect)


class Day:
    """A day that is loaded, ready to be played."""

    def __init__(self, minutes: int = MINUTES) -> None:
        self._text = text_of(minutes)
        self._plugins = find_plugins(PluginSettings(), with_options=False)
        self._test = self.read()
        self._setting = Setting(
            books={(): rulebook_of(RULES)},
            usable=installed(self._plugins),
            nickname=NICKNAME,
            secrets={},
            timezone="Europe/Berlin",
            country="DE",
        )

    def read(self) -> RuleTest:
        """Return the test, read anew.

        Raises:
            ValueError: It has a mistake.
        """
        script, problems = read_script("day.test.yaml", self._text, self._plugins.actions)
        if script is None:
            raise ValueError(f"the day has mistakes: {problems}")
        return script.tests[0]

    def play(self) -> None:
        """Play it and compare what came with what was expected.

        Raises:
            ValueError: It does not pass.
        """
        played = play(self._test, self._setting)
        wrong = [
            line for line in compare(self._test, played) if line.is_missing or line.is_unexpected
        ]
        if wrong or played.troubles:
            raise ValueError(f"the day does not pass: {[*wrong, *played.troubles][:3]}")


def run(effort: Effort = Effort()) -> Result:
    """Measure."""
    rounds, day = Rounds(), Day(effort.minutes)
    day.play()  # the first compiles what the day reaches
    for _ in range(effort.rounds):
        rounds.add("rules", cpu_us(lambda: rulebook_of(RULES)) * MS / US)
        rounds.add("read", cpu_us(day.read) * MS / US)
        rounds.add("play", cpu_us(day.play) * MS / US)
    rows = [
        [what, cell(rounds.spread(name))]
        for what, name in (
            ("loading the rules", "rules"),
            ("loading the test", "read"),
            ("playing and comparing", "play"),
        )
    ]
    title = f"A tested day: {MINUTES:,} firings and {EVENTS} events, ms of CPU"
    best = rounds.spread("play").low
    return Result(
        "day",
        [Table(title, ("", "ms of CPU"), rows)],
        [Goal("ms of CPU to play a day, the best round", 500.0, best)],
        rounds,
    )
