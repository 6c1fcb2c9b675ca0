"""The dashboard for Grafana and the alerts for Prometheus ask for what ``GET /metrics`` has."""

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from imbot.admin.health import Health
from imbot.admin.metrics import Metrics
from imbot.clock import SystemClock
from tests.machine import program

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "imbot.rules.yml"
PLAYED = DEPLOY / "prometheus" / "imbot.rules.test.yml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "imbot.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
#: Labels that Prometheus gives.
THEIRS = {"instance", "job", "le"}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}

each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


def alerts():
    return [
        rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
    ]


def known():
    """Return each name that can be asked for, with its labels."""
    metrics = Metrics(SystemClock())
    return {
        family.name + suffix: {*metrics.labels.get(family.name, ()), *THEIRS}
        for family in metrics.families(Health("ready", (), 0, 0))
        for suffix in SUFFIXES.get(family.type, ("",))
    }


def questions():
    """Yield every expression that is asked, each with where it stands."""
    for rule in alerts():
        yield pytest.param(rule["expr"], id=rule["alert"])
    for panel in PANELS:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for note in DASHBOARD["annotations"]["list"]:
        yield pytest.param(note["expr"], id=note["name"])
    for one in DASHBOARD["templating"]["list"][1:]:
        yield pytest.param(one["definition"], id=one["name"])


@pytest.mark.parametrize("asked", list(questions()))
def test_what_is_asked_for_is_there(asked):
    """A name or a label that is misspelt shows an empty panel, or never fires."""
    names = set(re.findall(r"\b(?:imbot|process)_\w+|\bup\b", asked))
    selected = re.findall(r"(\w+)\{([^}]*)\}", asked)
    grouped = re.findall(r"\b(?:by|on|group_left) \(([^)]*)\)", asked)
    there = {**known(), "up": THEIRS}

    assert names
    assert names <= set(there)
    for name, labels in selected:
        assert set(re.findall(r"(\w+)[=!]~?\"", labels)) <= there[name]
    labels = set().union(*(there[name] for name in names))
    assert set(re.findall(r"\w+", " ".join(grouped))) <= labels


def test_a_question_that_nobody_answers_is_found():
    """The check above must be able to fail."""
    assert "imbot_parks" not in known()
    assert "agent" not in known()["imbot_steps_total"]


@each_panel
def test_each_panel_says_what_it_shows(panel):
    """Whoever looks at it at night has not built it."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert [target for target in panel["targets"] if not target["legendFormat"]] == []


def test_the_rows_are_what_an_operator_asks_in_turn():
    assert [row["title"] for row in ROWS] == [
        *("Agents", "Sessions and events", "Rules", "Replies", "Latency", "Process", "Store")
    ]


def test_every_metric_of_ours_is_shown_somewhere():
    """What is counted and never looked at is not worth counting."""
    shown = json.dumps(DASHBOARD)
    bases = {re.sub("_(bucket|count|sum)$", "", name) for name in known() if "imbot" in name}

    assert {name for name in bases if not name.endswith("created") and name not in shown} == set()


def test_no_panel_covers_another():
    cells = [
        (
            panel["id"],
            {
                (x, y)
                for at in [panel["gridPos"]]
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            },
        )
        for panel in DASHBOARD["panels"]
    ]

    assert len({number for number, _ in cells}) == len(cells)
    assert [(a, b) for (a, one), (b, other) in combinations(cells, 2) if one & other] == []
    assert all(x < 24 for _, covered in cells for x, _ in covered)


def test_the_dashboard_belongs_to_no_grafana():
    """It asks the data source that is chosen, and loads nothing from elsewhere."""
    sources = re.findall(r'"uid": "([^"]*)"', json.dumps(DASHBOARD))

    assert set(sources) == {"${datasource}", "imbot"}
    assert "http" not in json.dumps(DASHBOARD)


# What promtool says ---------------------------------------------------------------------------


def promtool(*words):
    tool = program("promtool", package="prometheus")
    return subprocess.run([tool, *words], capture_output=True, text=True, check=False)  # noqa: S603


def test_each_alert_is_played():
    """One that nobody saw fire may be one that cannot."""
    played = yaml.safe_load(PLAYED.read_text())["tests"]
    fired = {
        one["alertname"]
        for test in played
        for one in test["alert_rule_test"]
        if one.get("exp_alerts")
    }

    assert fired == {rule["alert"] for rule in alerts()}


@pytest.mark.timeout(300)  # promtool plays days
def test_the_alerts_fire_when_they_should_and_only_then():
    done = promtool("test", "rules", str(PLAYED))

    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_understands_every_panel(tmp_path):
    """Grafana's own variables stand for what it would put there."""
    exprs = [target["expr"] for panel in PANELS for target in panel["targets"]]
    rules = [
        {"record": f"panel:{number}", "expr": expr.replace("$__rate_interval", "5m")}
        for number, expr in enumerate(exprs)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    done = promtool("check", "rules", str(file))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_each_alert_says_what_to_do(rule):
    """Whoever is woken by it has to know where to look."""
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "action"}
