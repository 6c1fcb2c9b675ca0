"""The reference names every log event, and no other."""

import ast
import re
from pathlib import Path

import pytest

from docs.generator import logs

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "logs.md"
LEVELS = {"debug", "info", "warning", "error", "exception"}


def logged(source):
    """Yield the event, level and facts of each call of a logger named ``log``."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                args=[ast.Constant(value=str(event))],
                keywords=keywords,
            ) if level in LEVELS:
                facts = {keyword.arg for keyword in keywords if keyword.arg}
                yield event, level.replace("exception", "error"), facts - {"exc_info"}


def documented():
    rows = re.findall(r"^\| `([\w.]+)` \| (\w+) \| .+ \| (.*) ?\|$", PAGE.read_text(), re.MULTILINE)
    return {event: (level, set(facts.strip().split(", ")) - {""}) for event, level, facts in rows}


def sources():
    for path in sorted([*(ROOT / "imbot").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]):
        yield path, path.read_text()


def test_every_log_event_is_documented_and_no_other():
    """Alerts are built on these names; one that changes unsaid leaves somebody asleep."""
    found = [entry for _, source in sources() for entry in logged(source)]

    assert {event: level for event, level, _ in found} == {
        event: level for event, (level, _) in documented().items()
    }


def test_the_facts_of_an_event_are_documented():
    shown = documented()
    missing = {
        event: facts - shown[event][1]
        for _, source in sources()
        for event, _, facts in logged(source)
    }

    assert {event: facts for event, facts in missing.items() if facts} == {}


def test_each_event_has_one_level():
    """Whoever filters by level must not get half of it."""
    assert {
        name: event.levels for name, event in logs.logged().items() if len(event.levels) > 1
    } == {}


def test_an_event_that_is_not_told_of_is_refused(tmp_path, monkeypatch):
    """And so is one that nobody writes any more, or whose facts are others."""
    text = logs.FILE.read_text()
    for changed, told in (
        (re.sub("\n  agent.up: .*", "", text), "agent.up"),
        (text.replace("\nAgents:\n", "\nAgents:\n  agent.gone: it went\n"), "agent.gone"),
        (
            text.replace("facts: [plugin, status, cause,", "facts: [plugin, status,"),
            "plugin.broken",
        ),
        (
            re.sub("step.failed:\n    when: (.*)\n    facts:.*", r"step.failed: \1", text),
            "step.failed",
        ),
    ):
        monkeypatch.setattr(logs, "FILE", tmp_path / "logs.yaml")
        logs.FILE.write_text(changed)
        with pytest.raises(LookupError, match=told):
            list(logs.page())


def test_nobody_logs_in_another_way():
    """A logger of another name, or of the standard library, would escape the check above."""
    strange = [
        f"{path.relative_to(ROOT)}: {line}"
        for path, source in sources()
        for line in source.splitlines()
        if re.search(r"\bget_?[lL]ogger\(", line) and "log = structlog.get_logger()" not in line
    ]

    assert [line for line in strange if not line.startswith("imbot/logs.py")] == []


def test_a_log_event_is_found():
    assert list(logged('log.info("a.b", x=1, **y)')) == [("a.b", "info", {"x"})]
