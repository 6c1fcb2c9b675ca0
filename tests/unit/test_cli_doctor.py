"""``imbot doctor`` as people meet it: rows, JSON lines and exit codes."""

import json
import logging
import re
import socket
import sys

import pytest
import structlog

from imbot.cli import EXIT_INTERRUPTED, doctor
from imbot.cli.doctor import Rows
from imbot.cli.formats import Format
from imbot.cli.root import main
from imbot.doctor.findings import Check, Finding, Grade, Result

RULES = "version: 1\nrules:\n  - {id: hi, trigger: {state: Talking}, do: [{reply: Hello}]}\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with settings whose GWS is away."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "hi.yaml").write_text(RULES)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings = {
        "gws": {"url": f"http://127.0.0.1:{port}"},
        "agents": [{"user": "bot1", "password": "${env:PW}"}],
        "admin": {"listen": "127.0.0.1:0"},
    }
    (tmp_path / "imbot.yaml").write_text(json.dumps(settings))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PW", "pw")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


@pytest.fixture
def imbot(home, monkeypatch, capsys):  # noqa: ARG001  where it runs
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


def test_a_failed_check_ends_with_1_and_names_its_cure(imbot):
    code, out, err = imbot("doctor")
    rows = [line.split("\t") for line in out.splitlines()]
    by_check = {row[1]: row for row in rows}

    assert code == 1
    assert rows[0] == ["grade", "check", "about", "found", "cure"]
    assert by_check["python"][0] == "ok"
    assert by_check["port"][0] == "failed"
    assert by_check["port"][4] == "check gws.url, whether GWS runs, and firewalls in between"
    assert by_check["login"][0] == "skipped"
    assert " 1 failed" in err


def test_programs_get_a_json_line_for_each_result(imbot):
    code, out, err = imbot("doctor", "--format", "json")
    results = [json.loads(line) for line in out.splitlines()]

    assert (code, err) == (1, "")
    assert [result["check"] for result in results] == list(Check)
    assert set(results[0]) == {"grade", "check", "about", "found", "cure", "means"}


def test_an_agent_that_there_is_not_is_wrong_usage(imbot):
    code, _, err = imbot("doctor", "--agent", "nobody")

    assert code == 2
    assert "the settings have no agent nobody; imbot config shows which it has" in err


def test_settings_that_are_wrong_are_a_failed_check(imbot):
    code, out, _ = imbot("doctor", "-c", "gone.yaml")

    assert code == 1
    assert "failed\tsettings\t" in out


def test_eyes_see_a_table_that_folds_what_was_skipped(imbot, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = imbot("doctor")

    assert re.search(r"failed \S* +port +127\.0\.0\.1:", out)
    assert "→ check gws.url" in out
    assert "it rests on port: tls to hold" in out


def test_ctrl_c_ends_with_what_was_found(monkeypatch, capsys):
    """Whoever breaks it off has seen enough."""

    def broken_off(work):
        work.close()
        return EXIT_INTERRUPTED

    monkeypatch.setattr(doctor, "on_loop", broken_off)
    code = doctor.examine(None, (), agents=(), form=Format.TEXT)

    assert code == EXIT_INTERRUPTED
    assert "broken off" in capsys.readouterr().err


def test_eyes_see_how_many_agents_are_through(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with doctor._on_terminal() as (tell, progress):
        for result in of("bot1", Grade.OK, Grade.WARNING):
            tell(result)
        progress(1, 2)

    out = capsys.readouterr().out
    assert "bot1: warning!" in out
    assert "1 of 2 agents" in out


# Rows -----------------------------------------------------------------------------------------


def shown(*results):
    printed = []
    rows = Rows(printed.append)
    for result in results:
        rows.take(result)
    rows.flush()
    rows.flush()
    return printed


def of(agent, *grades):
    return [
        Result(check, Finding(grade, f"{grade}!", "" if grade is Grade.OK else "mend"), agent)
        for check, grade in zip(Check, grades, strict=False)
    ]


def test_what_is_skipped_for_one_reason_is_one_row():
    printed = shown(*of("", Grade.OK, Grade.SKIPPED, Grade.SKIPPED, Grade.FAILED))

    assert printed == [
        ("ok", "python", "ok!", ""),
        ("skipped", "2 checks", "skipped!: packages to parser", "mend"),
        ("failed", "extras", "failed!", "mend"),
    ]


def test_of_many_agents_those_with_whom_all_is_well_have_one_row():
    """Five thousand of them would hide the one that fails."""
    results = [result for n in range(1, 6) for result in of(f"bot{n}", Grade.OK, Grade.OK)]
    printed = shown(*results, *of("bot6", Grade.OK, Grade.FAILED))

    assert len(printed) == 3 * 2 + 2 + 2
    assert printed[0] == ("ok", "python", "bot1: ok!", "")
    assert printed[6] == ("ok", "agent", "bot4: 2 checks are ok", "")
    assert printed[-2:] == [
        ("ok", "agent", "bot6: 1 checks are ok", ""),
        ("failed", "packages", "bot6: failed!", "mend"),
    ]
