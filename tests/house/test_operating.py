"""The page for operators: what it quotes is what imbot says, and every alert leads somewhere."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from docs.generator import logs
from imbot.admin.health import STATUSES, Health
from imbot.admin.metrics import Metrics
from imbot.clock import SystemClock
from imbot.gws.status import AgentState
from imbot.problemcodes import MEANINGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "operate.md").read_text()
TABLE = PAGE.partition("| symptom | cause | cure |")[2]
ROWS = [tuple(row.split(" | ")) for row in re.findall(r"^\| (.+) \|$", TABLE, re.MULTILINE)]

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])


@cache
def sayings():
    """Return every text of the code; what is filled in stands there as an ellipsis."""
    found = []
    for path in (ROOT / "imbot").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.JoinedStr(values=parts):
                    found.append(
                        "".join(
                            getattr(part, "value", "…") if isinstance(part, ast.Constant) else "…"
                            for part in parts
                        )
                    )
                case ast.Constant(value=str(text)):
                    found.append(text)
    return found


def is_said(quoted):
    """Whether imbot says that: an event, a status, a code, a metric, a key of /health, a text."""
    families = Metrics(SystemClock()).families(Health("ready", (), 0, 0))
    words = {*logs.logged(), *STATUSES, *AgentState, *MEANINGS, *Health.__slots__, "/health"}
    words |= {family.name for family in families}
    if quoted in words or quoted.startswith("--"):
        return True
    return " " in quoted and any(quoted in text for text in sayings())


@each_row
def test_every_symptom_is_what_imbot_says(row):
    """Whoever searches the page for what stands on the screen has to find it."""
    assert [each for each in re.findall(r"`([^`]+)`", row[0]) if not is_said(each)] == []


@each_row
def test_every_symptom_has_its_cause_and_its_cure(row):
    assert len(row) == 3
    assert all(cell.strip() for cell in row)


def test_there_are_symptoms_enough_and_none_twice():
    assert len(ROWS) >= 20
    assert len({row[0] for row in ROWS}) == len(ROWS)


def test_what_nobody_says_is_found():
    """The check above must be able to fail."""
    assert not is_said("agent.exploded")
    assert not is_said("the disk is too full")


def test_every_setting_that_is_named_exists():
    settings = (ROOT / "docs" / "reference" / "settings.md").read_text()
    named = set(re.findall(r"`((?:gws|admin|http|delivery)\.\w+)[:`]", PAGE)) - set(logs.logged())

    assert {name for name in named if f"| `{name.partition('.')[2]}` |" not in settings} == set()
    assert named


def test_the_alerts_that_wake_somebody_are_told():
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "imbot.rules.yml").read_text())
    critical = [
        rule["alert"]
        for group in rules["groups"]
        for rule in group["rules"]
        if rule["labels"]["severity"] == "critical"
    ]

    assert len(critical) == 4
