"""Rules of imbot/logs.py: one line for each thing, JSON for programs and text for eyes."""

import io
import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from imbot.logs import configure_logs, harmless


@pytest.fixture
def written():
    """Configure logs; return what was written."""

    def configure(level="info", style="json", stream=None):
        out = stream or io.StringIO()
        configure_logs(level, style, out)
        return lambda: out.getvalue().splitlines()

    return configure


def test_json_begins_with_when_how_bad_and_what(written):
    lines = written()
    structlog.get_logger("imbot.test").warning("agent.waiting", agent="bot1", pause_s=0.5)

    (line,) = lines()
    assert list(json.loads(line)) == ["timestamp", "level", "event", "agent", "pause_s"]
    assert json.loads(line)["timestamp"].endswith("Z")


def test_what_is_less_important_is_left_out(written):
    lines = written(level="warning")
    structlog.get_logger("imbot.test").info("a")
    structlog.get_logger("imbot.test").error("b")

    assert [json.loads(line)["event"] for line in lines()] == ["b"]


def test_warnings_of_libraries_are_written_and_their_chatter_is_not(written):
    lines = written(level="debug")
    logging.getLogger("aiohttp.client").info("chatter")
    logging.getLogger("aiohttp.client").warning("unclosed")

    assert [json.loads(line)["event"] for line in lines()] == ["unclosed"]


def test_an_error_has_its_trace_on_the_same_line(written):
    lines = written()
    try:
        int("no")
    except ValueError:
        structlog.get_logger("imbot.test").exception("event.failed")

    (line,) = lines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_what_json_does_not_know_is_text(written):
    lines = written()
    structlog.get_logger("imbot.test").info("a", path=io, many={1})

    assert json.loads(lines()[0])["many"] == "{1}"


def test_text_cannot_steer_the_terminal(written):
    lines = written(style="text")
    structlog.get_logger("imbot.test").info("rule.log", text="\x1b[2J\nnext")

    (line,) = lines()
    assert "\\x1b[2J" in line
    assert "\x1b" not in line


@pytest.mark.parametrize(("is_terminal", "is_json"), [(True, False), (False, True)])
def test_auto_is_text_on_a_terminal_and_json_elsewhere(is_terminal, is_json, written):
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal
    lines = written(style="auto", stream=stream)
    structlog.get_logger("imbot.test").info("imbot.started")

    assert lines()[0].startswith("{") is is_json


@given(st.text())
def test_any_text_can_be_shown(text):
    assert harmless(text).isprintable()
    assert harmless(text) == text or not text.isprintable()
