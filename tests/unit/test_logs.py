"""Rules of imbot/logs.py: one line for each thing, JSON for programs and text for eyes."""

import io
import json
import logging

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from imbot.harmless import harmless
from imbot.logs import configure_logs


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


def test_a_flood_is_told_as_a_number(written, monkeypatch):
    """A thousand agents that lose their server say so once each, and fill no disk."""
    at_s = 1000.0
    monkeypatch.setattr("time.time", lambda: at_s)
    lines = written()
    for number in range(362):
        structlog.get_logger("imbot.test").warning("agent.lost", agent=f"bot{number}")
    at_s = 1011.5
    structlog.get_logger("imbot.test").info("agent.up")

    told = [json.loads(line) for line in lines()]
    assert [one["event"] for one in told] == ["agent.lost"] * 50 + ["log.held_back", "agent.up"]
    assert list(told[-2].items())[1:] == [
        ("level", "warning"),
        ("event", "log.held_back"),
        ("of", "agent.lost"),
        ("times", 312),
        ("window_s", 10.0),
    ]


def test_who_debugs_sees_every_line(written):
    lines = written(level="debug")
    for _ in range(100):
        structlog.get_logger("imbot.test").debug("event.seen")

    assert len(lines()) == 100


class Broken:
    """A fact that cannot be told."""

    def __str__(self):
        raise RuntimeError("no")


def test_a_line_that_cannot_be_written_raises_nothing_and_is_named(written):
    """An error in logging must never become one in acting."""
    lines = written()
    structlog.get_logger("imbot.test").info("step.failed", cause=Broken())
    structlog.get_logger("imbot.test").info("imbot.stopped")

    first, last = (json.loads(line) for line in lines())
    assert first == {"event": "log.failed", "of": "step.failed"}
    assert last["event"] == "imbot.stopped"


def test_a_stream_that_is_gone_raises_nothing(written):
    stream = io.StringIO()
    written(stream=stream)
    stream.close()

    structlog.get_logger("imbot.test").info("imbot.stopped")


@given(st.text(st.characters(), min_size=1))
def test_no_text_is_too_much_for_a_stream_of_plain_letters(text):
    """``LANG=C``, and names with lone surrogates."""
    for style in ("json", "text"):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict", write_through=True)
        configure_logs("info", style, stream)
        structlog.get_logger("imbot.test").info("rule.log", text=text)
        logging.getLogger("library").warning("%s", text)
        assert len(raw.getvalue().splitlines()) == 2


@given(st.text())
def test_any_text_can_be_shown(text):
    assert harmless(text).isprintable()
    assert harmless(text) == text or not text.isprintable()
