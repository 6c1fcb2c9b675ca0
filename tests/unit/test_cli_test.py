"""``imbot test``: exit codes, settings, what is printed where."""

from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from imbot.cli import testing
from imbot.cli.root import cli
from imbot.pluginhost import PluginSettings, find_plugins

RULES = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    do:
      - reply: Hello{{ vars.end }}
      - set: {hour: "{{ now() | localtime(format='%H') }}"}
    vars: {end: "."}
"""
TESTS = """
tests:
  - name: the greeting is said
    start: 2026-03-02T09:00:00+01:00
    events:
      - {at: 0s, session: s1, state: Talking}
    expect:
      - {at: 0s, session: s1, reply: Hello.}
      - {at: 0s, session: s1, set: {hour: "HOUR"}}
"""
SETTINGS = """
gws: {url: "http://127.0.0.1:8090"}
agents:
  - {user: bot1, password: "${env:NO_SUCH_VARIABLE}"}
rules: [rules/]
store: sqlite:///imbot.db
timezone: Asia/Tokyo
delivery: {message_bytes: 500}
"""


@pytest.fixture(scope="module", autouse=True)
def _plugins_once():
    """Load the standard plugins once."""
    with pytest.MonkeyPatch.context() as patch:
        found = find_plugins(PluginSettings(), with_options=False)
        patch.setattr(testing, "find_plugins", lambda *_, **__: found)
        yield


@pytest.fixture(autouse=True)
def _logs_as_before():
    """The command silences logs; other tests read them."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def imbot(tmp_path, monkeypatch):
    """Call ``imbot test`` in a folder with a rule and its test; return exit code and output."""
    monkeypatch.chdir(tmp_path)
    Path("rules").mkdir()
    Path("rules/r.yaml").write_text(RULES)
    Path("rules/r.test.yaml").write_text(TESTS.replace("HOUR", "08"))

    def call(*options):
        result = CliRunner().invoke(cli, ["test", *options])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.stdout.splitlines(), result.stderr.splitlines()

    return call


def test_tests_that_pass(imbot):
    """Without a path, everything below the folder; without settings, in UTC."""
    assert imbot() == (
        0,
        [
            "ok    rules/r.test.yaml:3:11: the greeting is said",
            "1 test in 1 file: 1 passed, 0 failed",
        ],
        [],
    )


def test_a_failure_is_exit_code_1_in_every_format(imbot):
    Path("rules/r.test.yaml").write_text(TESTS.replace("HOUR", "12"))

    for form, first in (
        ("text", "FAIL  rules/r.test.yaml:3:11"),
        ("json", '{"test": "the greeting'),
        ("github", "::error file=rules/r.test.yaml"),
    ):
        code, out, _err = imbot("rules", "--format", form)
        assert code == 1
        assert out[0].startswith(first)


def test_the_settings_decide_about_zone_and_rules_and_need_no_secret(imbot):
    """A password that is not there is nothing that a test would need."""
    Path("imbot.yaml").write_text(SETTINGS)
    Path("elsewhere").mkdir()
    Path("elsewhere/a.test.yaml").write_text(TESTS.replace("HOUR", "17"))

    assert imbot("elsewhere")[0] == 0
    assert imbot("elsewhere", "--config", "imbot.yaml")[0] == 0


def test_mistakes_in_settings_are_told(imbot):
    Path("imbot.yaml").write_text(SETTINGS + "timezome: UTC\n")
    code, out, err = imbot()

    assert (code, out) == (1, [])
    assert "did you mean 'timezone'?" in err[0]


def test_mistakes_in_test_files_are_exit_code_1(imbot):
    Path("rules/r.test.yaml").write_text(TESTS.replace("reply:", "replay:"))
    code, out, _err = imbot()

    assert code == 1
    assert out[0].startswith("rules/r.test.yaml:8:31: error[unknown-action]: no action is called")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["nowhere"], "imbot: nowhere: there is no such file; name test files, or folders of them"),
        (["rules/r.yaml"], "imbot: no test file; name one such as rules.test.yaml, or a folder"),
        (["-k", "farewell"], "imbot: no test's name holds 'farewell'"),
    ],
)
def test_nothing_to_play_is_wrong_usage(options, said, imbot):
    """A run that tests nothing must not look like one that found nothing."""
    code, out, err = imbot(*options)

    assert (code, out) == (2, [])
    assert err[0].startswith(said)


def test_a_word_chooses_coverage_tells_and_junit_is_written(imbot):
    code, out, _err = imbot("-k", "GREETING", "--coverage", "--junit", "j.xml")

    assert code == 0
    assert out[1] == "coverage: 0 of 0 outcomes of conditions seen"
    assert 'tests="1" failures="0"' in Path("j.xml").read_text()
