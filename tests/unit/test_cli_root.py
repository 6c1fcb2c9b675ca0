"""The command line as a whole: what it says and how it exits, whatever it is given."""

import json
import logging
import socket
from pathlib import Path

import pytest
import structlog

from imbot.cli import main as entry_point
from imbot.cli.root import main

RULES = "version: 1\nrules:\n  - {id: hi, trigger: {state: Talking}, do: [{reply: Hello}]}\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with settings, rules and a file that is none of them."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "hi.yaml").write_text(RULES)
    (tmp_path / "binary").write_bytes(bytes(range(255, 0, -1)) * 40)
    (tmp_path / "imbot.yaml").write_text(
        json.dumps(
            {
                "gws": {"url": "http://127.0.0.1:9"},
                "agents": [{"user": "bot1", "password": "${env:PW}"}],
                "admin": {"listen": "127.0.0.1:0"},
            }
        )
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PW", "pw")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


@pytest.fixture
def imbot(home, monkeypatch, capsys):  # noqa: ARG001  where commands run
    """Run one command; return its exit code, output and errors."""
    handlers, level = logging.root.handlers[:], logging.root.level

    def run(*words):
        monkeypatch.setattr("sys.argv", ["imbot", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    yield run
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def taken():
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["check", "gone.yaml"], 1, "error[no-rules]: 'gone.yaml' cannot be read: No such file"),
        (["check", "/dev/zero"], 1, "/dev/zero:1:1: error[too-large]"),
        (["check", "--config", "gone.yaml"], 1, "gone.yaml: error[no-settings]: cannot be read"),
        (["check", "--config", "."], 2, "is a directory"),
        (["config", "-c", "binary"], 1, "binary:1:1: error[bad-encoding]"),
        (["config", "-s", "bot.nick=x"], 1, "did you mean 'nickname'?"),
        (["config", "-s", "nonsense"], 1, "option: error[bad-option]"),
        (["plugins", "-c", "gone.yaml"], 1, "gone.yaml: error[no-settings]"),
        (["rules", "-c", "binary"], 1, "binary:1:1: error[bad-encoding]"),
        (["run", "-c", "gone.yaml"], 1, "gone.yaml: error[no-settings]"),
        (["run", "-s", "store=sqlite:////proc/x/y.db"], 75, "/proc/x/y.db: its lock file cannot"),
        (["run", "-s", "store=postgresql://x"], 1, "store: error[store-url]"),
        (["run", "-s", "rules=[gone]"], 1, "error[no-rules]: 'gone' cannot be read"),
        (["sessions"], 75, "there is none yet; `imbot run` makes it"),
        (["sessions", "--limit", "0"], 2, "greater than or equal to 1"),
        (["simulate", "--port", "abc"], 2, "valid integer"),
        (["simulate", "--host", "no.such.host.invalid"], 1, "cannot listen on no.such.host"),
        (["demo", "--seconds", "0"], 2, "greater than or equal to 1"),
        (["chekc"], 2, "No such command 'chekc'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value)[:12],
)
def test_bad_input_is_told(words, code, told, imbot):
    """Whatever is wrong, the operator reads what, and what would be right; nothing is raised."""
    ended, out, err = imbot(*words)

    assert told in out + err
    assert ended == code


def test_a_store_that_is_none_is_told(imbot, home):
    (home / "imbot.db").write_bytes(b"not a database, but long enough to look at" * 100)

    code, _, err = imbot("sessions")

    assert code == 75
    assert f"store {home}/imbot.db: it is not a database; move it away or name another" in err


@pytest.mark.parametrize(
    "words",
    [
        ["simulate", "--port", "{}"],
        ["simulate", "--port", "0", "--crm-port", "{}"],
        ["demo", "--port", "{}"],
        ["demo", "--admin-port", "{}"],
        ["run", "-s", "admin.listen=127.0.0.1:{}"],
    ],
    ids=" ".join,
)
def test_a_port_in_use_is_told(words, imbot, taken):
    code, _, err = imbot(*(word.format(taken) for word in words))

    assert f"cannot listen on 127.0.0.1:{taken}" in err
    assert code == 1


def test_rules_are_checked_although_the_settings_are_wrong(imbot, home, monkeypatch):
    """An author without the operator's secrets still learns of mistakes."""
    monkeypatch.delenv("PW")
    (home / "rules" / "hi.yaml").write_text(RULES.replace("Talking", "Taking"))

    code, out, _ = imbot("check", "rules")

    assert code == 1
    assert [line.partition(": ")[2].partition(":")[0] for line in out.splitlines()] == [
        "error[no-variable]",
        "error[unknown-word]",
    ]
    assert imbot("check")[1].splitlines() == out.splitlines()[:1]


def test_what_is_in_force_is_shown(imbot):
    """Secrets never; and what goes on to other programs has no decoration."""
    code, out, err = imbot("config", "-s", "bot.nickname=Robin")
    assert (code, err) == (0, "")
    assert "nickname: Robin" in out
    assert "pw" not in out

    code, out, err = imbot("rules")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "rule\ttrigger\tpriority\tflags\tplace\tdescription",
        "hi\tstate\t0\t\trules/hi.yaml:3:10\t",
    ]
    assert json.loads(imbot("rules", "--json")[1])["trigger"] == ["state"]

    code, out, _ = imbot("plugins", "--json")
    found = {row["plugin"]: row for row in map(json.loads, out.splitlines())}
    assert code == 0
    assert found["reply"]["status"] == "enabled"
    assert found["crm"]["reason"] == "set plugins.options.crm.url to use it"


def test_a_plugin_that_fails_is_an_error(imbot, home):
    (home / "plugins").mkdir()
    (home / "plugins" / "broken.py").write_text("1 / 0")

    code, out, _ = imbot("plugins", "-c", "imbot.yaml")
    assert code == 0

    (home / "more.yaml").write_text(
        (home / "imbot.yaml").read_text()[:-1] + ', "plugins": {"paths": ["plugins"]}}'
    )
    code, out, _ = imbot("plugins", "-c", "more.yaml")
    assert code == 1
    assert "failed to load" in out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk at hand")
@pytest.mark.parametrize("words", [["config"], ["rules", "--json"], ["version"], ["plugins"]])
def test_output_that_cannot_be_written_is_told(words, imbot, monkeypatch):
    """A full disk is the operator's trouble, not a mistake of imbot."""
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr("sys.stdout", full)

        code, _, err = imbot(*words)

    assert code == 1
    assert err == (
        "imbot: standard output: No space left on device; make room, or write elsewhere\n"
    )


def test_ctrl_c_before_anything_began_is_no_traceback(monkeypatch):
    """Imports take a second on a busy machine; who thinks again by then is not shown code."""

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("imbot.cli.root.main", interrupted)

    with pytest.raises(SystemExit) as ended:
        entry_point()

    assert ended.value.code == 130


@pytest.mark.parametrize("asked", ["version", "--version"])
def test_the_version_is_told(imbot, asked):
    """Whoever packages programs asks by the option."""
    assert imbot(asked)[:2] == (0, "0.1.0\n")


def test_every_command_explains_itself(imbot):
    for command in (
        *("run", "demo", "simulate", "check", "config", "plugins", "rules", "sessions", "version"),
    ):
        code, out, _ = imbot(command, "--help")
        assert code == 0
        assert "Usage: imbot" in out
