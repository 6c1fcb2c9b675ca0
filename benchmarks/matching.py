"""Matching: an event against 1, 10, 1,000 and 10,000 rules, through the real rulebook.

YAML text → rulebook → index → match with scope and senses, beside an ideal index made by hand for
this load, a scan over compiled conditions, and a scan over Jinja expressions.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from benchmarks.measuring import US, Rounds, cpu_us_each
from benchmarks.report import NONE, Goal, Result, Table, cell, times
from benchmarks.workload import MOMENT, SLOTS, Case, Spec, cases, rule_files, specs
from benchmarks.yardsticks import Finder, compiled_scan, indexed_closures, jinja_scan
from imbot.engine.facts import Bot, Moment, Surroundings, scope_of
from imbot.engine.matching import match
from imbot.errors import RulebookError
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.ports import AgentFacts
from imbot.rulebook.index import Index
from imbot.rulebook.loader import RuleFile, load_rulebook
from imbot.rulebook.schema import Rulebook

#: Rules in the rulebook; 1 stands for ten rulebooks of one rule, each asked about its own events.
SIZES = (1, 10, 1000, 10_000)

AGENT = AgentFacts("bot1", "Robin One", "1001", "place-1")
BOT = Bot("Robin", "imbot")
AROUND = Surroundings(bot=BOT)

_PER_S = 1e6


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        sizes: Rules in the rulebook.
        events: Different events for each size.
        rounds: How often everything is measured.
        at_least_s: CPU seconds of each measurement.
        jinja_up_to: The largest rulebook that Jinja is asked to scan.
    """

    sizes: Sequence[int] = SIZES
    events: int = 200
    rounds: int = 5
    at_least_s: float = 0.25
    jinja_up_to: int = 10


QUICK = Effort(sizes=(1, 10, 1000), rounds=3, at_least_s=0.03)


def rulebook(texts: Sequence[str]) -> Rulebook:
    """Return the rulebook of these files, with the standard plugins.

    Raises:
        RulebookError: With every mistake.
    """
    found = find_plugins(PluginSettings(), with_options=False)
    files = [RuleFile(f"rules-{number:02d}.yaml", text) for number, text in enumerate(texts)]
    book, problems = load_rulebook(
        files,
        found.actions,
        secrets=None,
        allowed_hosts=None,
        timezone="Europe/Berlin",
        country="DE",
        today=date(2026, 3, 2),
    )
    if book is None:
        raise RulebookError(problems)
    return book


#: Takes every case once and returns how many that were.
Pass: TypeAlias = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Real:
    """imbot's own way, ready to be asked.

    Attributes:
        found: An event → the ids of the rules that it meets.
        matching: Matches every event; what rules see is ready.
        seeing_and_matching: The same with making what rules see.
    """

    found: Callable[[Case], list[str]]
    matching: Pass
    seeing_and_matching: Pass


def real(rules: Sequence[Spec], load: Sequence[Case]) -> Real:
    """Return imbot's way to match these events with these rules."""
    of_slot = _indexes(rules)
    senses = Moment(MOMENT, AROUND)
    ready = [
        (
            case.event,
            of_slot[case.slot],
            scope_of(case.event, case.event.session, None, agent=AGENT, bot=BOT, now=MOMENT),
        )
        for case in load
    ]

    def found(case: Case) -> list[str]:
        scope = scope_of(case.event, case.event.session, None, agent=AGENT, bot=BOT, now=MOMENT)
        return [rule.id for rule in match(case.event, of_slot[case.slot], scope, senses)]

    def matching() -> int:
        for event, index, scope in ready:
            match(event, index, scope, senses)
        return len(ready)

    def seeing_and_matching() -> int:
        for event, index, _ in ready:
            scope = scope_of(event, event.session, None, agent=AGENT, bot=BOT, now=MOMENT)
            match(event, index, scope, Moment(MOMENT, AROUND))
        return len(ready)

    return Real(found, matching, seeing_and_matching)


def _indexes(rules: Sequence[Spec]) -> list[Index]:
    """Return the index to ask about the events of each slot."""
    if len(rules) > 1:
        return [Index(rulebook(rule_files(rules)).rules)] * SLOTS
    return [Index(rulebook(rule_files([rule])).rules) for rule in specs(SLOTS)]


def finders(rules: Sequence[Spec], build: Callable[[Sequence[Spec]], Finder]) -> list[Finder]:
    """Return a yardstick's way to find the rules of each slot's events."""
    if len(rules) > 1:
        return [build(rules)] * SLOTS
    return [build([rule]) for rule in specs(SLOTS)]


def _pass(of_slot: Sequence[Finder], load: Sequence[Case]) -> Pass:
    ready = [(of_slot[case.slot], case.plain) for case in load]

    def find() -> int:
        for finder, plain in ready:
            finder(plain)
        return len(ready)

    return find


def run(effort: Effort = Effort(), *, seed: int = 1) -> Result:
    """Measure."""
    rounds = Rounds()
    works = {size: _works(size, effort, seed) for size in effort.sizes}
    for each in works.values():
        for work in each.values():
            work()  # what is compiled at first use
    for _ in range(effort.rounds):
        for size, each in works.items():
            for name, work in each.items():
                rounds.add(f"{name}/{size}", cpu_us_each(work, at_least_s=effort.at_least_s))
        rounds.add("load/1000", load_s(1000) * US)
    return Result("matching", _tables(rounds, effort), _goals(rounds, effort), rounds)


def load_s(count: int) -> float:
    """Return the CPU seconds that loading and checking so many rules takes."""
    texts = rule_files(specs(count))
    find_plugins(PluginSettings(), with_options=False)  # what is imported at first use
    began = time.process_time()
    Index(rulebook(texts).rules)
    return time.process_time() - began


def _works(size: int, effort: Effort, seed: int) -> dict[str, Pass]:
    rules, load = specs(size), cases(size, effort.events, seed=seed)
    ours = real(rules, load)
    few = load[: max(SLOTS, min(len(load), 200_000 // size))]
    works = {
        "match": ours.matching,
        "see+match": ours.seeing_and_matching,
        "indexed": _pass(finders(rules, indexed_closures), load),
        "scan": _pass(finders(rules, compiled_scan), few),
    }
    if size <= effort.jinja_up_to:
        works["jinja"] = _pass(finders(rules, jinja_scan), load[: 10 * SLOTS])
    return works


def _tables(rounds: Rounds, effort: Effort) -> list[Table]:
    names = {
        "match": "imbot, match",
        "see+match": "imbot, scope + match",
        "indexed": "ideal index",
        "scan": "compiled scan",
        "jinja": "Jinja per rule",
    }
    rows = [
        [
            f"{size:,}",
            *(
                cell(rounds.spread(f"{name}/{size}")) if rounds.has(f"{name}/{size}") else NONE
                for name in names
            ),
            times(rounds.ratio(f"match/{size}", f"indexed/{size}")),
        ]
        for size in effort.sizes
    ]
    costs = Table(
        "Matching: µs of CPU per event, median (lowest … highest)",
        ("rules", *names.values(), "match / ideal"),
        rows,
        ("1,000,000 / µs = events per CPU second.",),
    )
    flat = Table(
        "Matching: does it stay flat",
        ("CPU per event", "imbot, match", "imbot, scope + match", "ideal index", "compiled scan"),
        [
            [
                f"{over:,} against {under:,} rules",
                *(
                    times(rounds.ratio(f"{name}/{over}", f"{name}/{under}"))
                    for name in ("match", "see+match", "indexed", "scan")
                ),
            ]
            for over, under in _pairs(effort)
        ],
    )
    return [costs, flat]


def _pairs(effort: Effort) -> list[tuple[int, int]]:
    pairs = ((1000, 1), (10_000, 10))
    return [pair for pair in pairs if set(pair) <= set(effort.sizes)]


def _goals(rounds: Rounds, effort: Effort) -> list[Goal]:
    # What an event costs altogether: without its scope nothing can be matched.
    goals = [
        Goal(
            f"CPU of scope + match at {over:,} rules / at {under:,}",
            2.0,
            rounds.ratio(f"see+match/{over}", f"see+match/{under}").median,
        )
        for over, under in _pairs(effort)
    ]
    if 1000 in effort.sizes:  # noqa: PLR2004  the size that the goal names
        a_second = _PER_S / rounds.spread("match/1000").median
        goals.append(Goal("events per CPU second at 1,000 rules", 1e5, a_second, at_least=True))
    loaded_s = rounds.spread("load/1000").median / US
    goals.append(Goal("CPU s to load and check 1,000 rules", 2.0, loaded_s))
    return goals
