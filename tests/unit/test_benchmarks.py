"""The benchmark works: every part runs once in a tiny size. Nothing here looks at a time."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import day, endtoend, holding, journal, matching, process, yardsticks
from benchmarks.__main__ import main
from benchmarks.measuring import Rounds, Spread, percentile
from benchmarks.report import Goal, Result, Table, cell, number, show, times
from benchmarks.workload import SLOTS, cases, rule_files, specs

TINY = matching.Effort(sizes=(1, 20), events=40, rounds=2, at_least_s=0.0)


@pytest.mark.parametrize("size", [1, 10, 300])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_yardsticks_find_what_the_real_rulebook_finds(size, seed):
    """A yardstick that does something else, or less, measures nothing."""
    rules, load = specs(size), cases(size, 4 * SLOTS, seed=seed)
    real = matching.real(rules, load)
    others = [
        matching.finders(rules, build)
        for build in (yardsticks.indexed_closures, yardsticks.compiled_scan, yardsticks.jinja_scan)
    ]
    for case in load:
        met = real.found(case)
        assert 1 <= len(met) <= 3
        for of_slot in others:
            assert of_slot[case.slot](case.plain) == met


def test_the_mix_is_the_one_that_is_promised():
    """Four in ten compare state and user data, four test texts, two have a range and a not."""
    kinds = [(bool(rule.when), rule.trigger.startswith("{message")) for rule in specs(1000)]
    assert kinds.count((False, True)) == 400
    assert sum("number(" in " ".join(rule.when) for rule in specs(1000)) == 200
    assert all("not " in " ".join(r.when) for r in specs(1000) if "number(" in " ".join(r.when))


def test_events_hold_values_that_no_rule_names():
    """An index that was tuned to the values it was built from would look better than it is."""
    text = "\n".join(rule_files(specs(100)))
    data = [case.event.session.user_data for case in cases(100, 100, seed=3)]
    assert all(
        any(value not in text for value in (one["topic"], one["site"], one["note"])) for one in data
    )


def test_matching_is_measured(capsys):
    """Each size, each yardstick, and the time to load."""
    result = matching.run(TINY)
    assert {"match/1", "match/20", "see+match/20", "indexed/20", "scan/20", "jinja/1"} <= set(
        result.rounds.values
    )
    assert not result.rounds.has("jinja/20")
    show([result])
    assert "imbot, match" in capsys.readouterr().out


def test_events_are_measured_in_process():
    """Every message leads to the action, once or twice."""
    result = process.run(process.Effort(sizes=(1, 10), events=30, rounds=1))
    assert result.rounds.spread("cpu/10").median > 0
    assert result.rounds.spread("p50/1").median > 0


def test_a_tested_day_is_measured():
    """It passes, and its parts are told apart."""
    result = day.run(day.Effort(minutes=30, rounds=1))
    assert {"rules", "read", "play"} <= set(result.rounds.values)


def test_the_journal_is_measured():
    """One who waits and several, beside the yardstick."""
    result = journal.run(journal.Effort(rows=200, waiters=(1, 8), rounds=1))
    assert {"direct/cpu", "store/1/cpu", "store/8/rate"} <= set(result.rounds.values)


def test_the_way_end_to_end_is_measured():
    """All three clients answer every message, and the server sees it."""
    effort = endtoend.Effort(agents=2, rules=20, events=40, paced=10, per_s=500.0, rounds=1)
    result = endtoend.run(effort)
    for name in endtoend.CLIENTS:
        assert result.rounds.spread(f"{name}/answers/10").median == 40
        assert result.rounds.spread(f"{name}/p50").median > 0


@pytest.mark.timeout(240)
def test_holding_is_measured():
    """Both clients hold all their agents and go on polling."""
    effort = holding.Effort(agents=(2, 6), hold_s=0.1, window_s=0.3, rounds=1)
    result = holding.run(effort)
    assert result.rounds.spread("imbot/6/polls").median >= 6
    assert result.rounds.spread("bare/6/polls").median >= 6


def test_the_command_prints_tables_and_writes_json(tmp_path, capsys, monkeypatch):
    """Both hold the same figures; a missed goal is no failure."""
    monkeypatch.setattr(journal, "QUICK", journal.Effort(rows=100, waiters=(4,), rounds=2))
    path = tmp_path / "new" / "bench.json"
    assert main(["journal", "--quick", "--json", str(path)]) == 0
    written = json.loads(path.read_text())
    assert written["parts"]["journal"]["figures"]["direct/rate"]["rounds"]
    out = capsys.readouterr().out
    assert "sqlite3, 100 rows a transaction" in out
    assert "Goals" in out


def test_without_a_part_every_part_is_measured(tmp_path, capsys, monkeypatch):
    """``make bench`` names none."""
    monkeypatch.setattr(
        "benchmarks.__main__.PARTS",
        {name: (lambda _, name=name: Result(name, [], []),) * 2 for name in ("one", "two")},
    )
    assert main(["--json", str(tmp_path / "bench.json")]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()[:2]] == [
        "one",
        "two",
    ]


def test_an_unknown_part_is_wrong_usage(capsys):
    """The parts that there are stand beside it."""
    with pytest.raises(SystemExit) as ended:
        main(["speed"])
    assert ended.value.code == 2
    assert "matching" in capsys.readouterr().err


def test_a_table_for_a_terminal_holds_the_same(capsys, monkeypatch):
    """Rich draws it where somebody looks."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    table = Table("Title", ("name", "figure"), [("row", "1.5")], ("a note",))
    show([Result("part", [table], [Goal("low", 1.0, 2.0), Goal("high", 1.0, 2.0, at_least=True)])])
    out = capsys.readouterr().out
    assert all(word in out for word in ("Title", "row", "1.5", "a note", "NO", "yes"))


def test_a_table_for_the_docs_is_markdown(capsys):
    """So that docs/topics/performance.md is pasted, never typed."""
    table = Table("Title", ("name", "figure"), [("row", "1.5")], ("a note",))
    show([Result("part", [table], [])], as_markdown=True)
    assert "**Title**\n\n| name | figure |\n| --- | --: |\n| row | 1.5 |\n\na note\n" in (
        capsys.readouterr().out
    )


def test_figures_are_rounded_to_three_digits():
    """More would be noise."""
    assert [number(value) for value in (0.012345, 1.2345, 99.96, 1234.5, 1234567.0)] == [
        "0.0123",
        "1.23",
        "100",
        "1,230",
        "1,230,000",
    ]
    assert cell(Spread.of([1.0])) == "1"
    assert cell(Spread.of([1.0, 2.0, 4.0])) == "2 (1 … 4)"
    assert times(Spread.of([1.0, 2.0])) == "1.50 x (1.00 … 2.00)"
    assert cell(None) == "-"


def test_a_ratio_is_taken_within_each_round():
    """Both sides of a round saw the same machine; two medians need not have."""
    rounds = Rounds()
    for over, under in ((10.0, 5.0), (30.0, 10.0), (8.0, 2.0)):
        rounds.add("over", over)
        rounds.add("under", under)
    assert rounds.ratio("over", "under") == Spread(3.0, 2.0, 4.0)


def test_percentiles_are_values_that_occurred():
    """The highest of few is the highest of all."""
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0
