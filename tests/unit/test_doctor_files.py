"""What imbot is given: each check when all is well, and when it is not."""

from datetime import UTC, datetime

import pytest

from imbot.doctor import files
from imbot.doctor.findings import Grade

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SETTINGS = """\
gws: {url: "http://127.0.0.1:9"}
agents: [{user: bot1, password: "${env:PW}"}]
"""
RULES = "version: 1\nrules:\n  - {id: hi, trigger: {state: Talking}, do: [{reply: Hello}]}\n"
ENVIRONMENT = {"PW": "pw"}


@pytest.fixture
def home(tmp_path):
    (tmp_path / "rules").mkdir()
    write(tmp_path)
    return tmp_path


def write(home, settings=SETTINGS, rules=RULES):
    (home / "imbot.yaml").write_text(settings)
    (home / "rules" / "hi.yaml").write_text(rules)


def load(home, environment=ENVIRONMENT):
    return files.settings(home / "imbot.yaml", (), environment)


async def read(home):
    """Return the rulebook, its problems and the findings."""
    loaded, _ = load(home)
    found, _ = await files.plugins(loaded)
    return files.rules(loaded, found, ENVIRONMENT, NOW)


# Settings and secrets -------------------------------------------------------------------------


def test_settings_that_can_be_used_are_named(home):
    loaded, (found,) = load(home)

    assert loaded is not None
    assert (found.grade, found.found) == (Grade.OK, f"{home / 'imbot.yaml'}, with 1 agent")


def test_a_secret_that_cannot_be_read_fails_with_its_place(home):
    loaded, (found,) = load(home, {})

    assert loaded is None
    assert found.grade is Grade.FAILED
    assert "imbot.yaml:2:" in found.found
    assert found.cure == "set it, for example: export PW=…"


def test_of_many_mistakes_the_first_are_told_and_how_to_see_the_others(home):
    wrong = "".join(f"wrong{number}: 1\n" for number in range(7))
    write(home, SETTINGS + wrong)
    _, found = load(home)

    assert len(found) == files.MOST + 1
    assert found[-1].found == "and 2 more"
    assert found[-1].cure == "mend them; imbot config tells them all"


def test_settings_that_are_not_there_fail(tmp_path):
    loaded, (found,) = load(tmp_path)

    assert loaded is None
    assert found.cure == "write one, or name another with --config FILE"


def test_settings_without_secrets_in_clear_may_be_read_by_anybody(home):
    loaded, _ = load(home)
    (home / "imbot.yaml").chmod(0o644)
    (found,) = files.secrets(loaded, ENVIRONMENT)

    assert found.grade is Grade.OK


def test_secrets_in_clear_that_others_can_read_are_told(home):
    write(home, SETTINGS.replace("${env:PW}", "pw"))
    path = home / "imbot.yaml"
    path.chmod(0o640)
    loaded, (clear,) = load(home)
    (found,) = files.secrets(loaded, ENVIRONMENT)

    assert clear.grade is Grade.WARNING
    assert (found.grade, found.cure) == (Grade.WARNING, f"chmod 600 {path}")
    path.chmod(0o600)
    assert files.secrets(loaded, ENVIRONMENT)[0].grade is Grade.OK


def test_a_secret_file_that_cannot_be_used_is_named(home, tmp_path):
    """A rule that names it would only say that there is no such secret."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "good").write_text("s")
    (folder / "bad").write_bytes(b"\xff\xfe")
    (folder / ".hidden").write_bytes(b"\xff")
    loaded, _ = load(home)
    (found,) = files.secrets(loaded, {**ENVIRONMENT, "CREDENTIALS_DIRECTORY": str(folder)})

    assert (found.grade, found.found) == (Grade.WARNING, f"{folder}: bad cannot be used")


def test_a_secrets_folder_that_cannot_be_read_fails(home, tmp_path, monkeypatch):
    """Root may read every folder, so one that has just gone stands in."""
    monkeypatch.setattr(files, "secret_folders", lambda _: [tmp_path / "gone"])
    (found,) = files.secrets(load(home)[0], ENVIRONMENT)

    assert found.grade is Grade.FAILED


# Plugins, rules, calendars --------------------------------------------------------------------


async def test_the_shipped_plugins_work(home):
    _, (found,) = await files.plugins(load(home)[0])

    assert found.grade is Grade.OK


async def test_a_plugin_that_does_not_load_fails_with_the_reason(home):
    (home / "own").mkdir()
    (home / "own" / "mine.py").write_text("import nowhere_at_all\n")
    write(home, SETTINGS + "plugins: {paths: [own]}\n")
    _, (found, *_) = await files.plugins(load(home)[0])

    assert found.grade is Grade.FAILED
    assert "nowhere_at_all" in found.found
    assert found.cure == "mend or reinstall it, or name it in plugins.disabled"


async def test_wrong_options_of_a_plugin_fail(home):
    write(home, SETTINGS + "plugins: {options: {http: {timeout: -1, nonsense: 2}}}\n")
    _, found = await files.plugins(load(home)[0])

    assert found[0].cure == "mend its options in plugins.options, or name it in plugins.disabled"


async def test_rules_are_counted(home):
    _, _, (found,) = await read(home)

    assert (found.grade, found.found) == (Grade.OK, "1 rule")


async def test_rules_in_shadow_are_told(home):
    """Who wonders why nothing is said finds it here."""
    write(home, SETTINGS + "shadow: true\n")
    _, _, (found,) = await read(home)

    assert found.found == "1 rule, all in shadow"


async def test_a_mistake_in_a_rule_fails_with_its_place(home):
    write(home, rules=RULES.replace("trigger", "tigger"))
    book, _, (found, *_) = await read(home)

    assert book is None
    assert found.grade is Grade.FAILED
    assert "hi.yaml:3:" in found.found


def calendar(text):
    return (
        f"version: 1\ncalendars:\n  office: {text}\n"
        "rules:\n  - {id: hi, trigger: {state: Talking}, when: 'open(\"office\")',"
        " do: [{reply: Hello}]}\n"
    )


async def look_at_calendar(home, text, **files_beside):
    for name, content in files_beside.items():
        (home / "rules" / name.replace("_", ".")).write_text(content)
    write(home, rules=calendar(text))
    book, problems, _ = await read(home)
    assert book is not None, problems
    return files.calendars(book, problems, NOW)


async def test_rules_without_calendars_have_none_that_ends(home):
    book, problems, _ = await read(home)

    assert files.calendars(book, problems, NOW)[0].found == "the rules have none"


@pytest.mark.parametrize("hours", ["09:00-17:00", "00:00-24:00"])
async def test_a_calendar_that_goes_on_is_fine(home, hours):
    (found,) = await look_at_calendar(
        home, f'{{timezone: UTC, open: {{mon-sun: "{hours}"}}, holidays: {{country: DE}}}}'
    )

    assert (found.grade, found.found) == (Grade.OK, "1, all known for a year ahead")


async def test_a_calendar_that_never_opens_again_is_told(home):
    """Its rules wait for a day that does not come."""
    text = '{timezone: UTC, open: {}, exceptions: {"2025-12-24": "08:00-12:00"}}'
    (found,) = await look_at_calendar(home, text)

    assert found.grade is Grade.WARNING
    assert found.found == "office is closed, and does not open within a year"


async def test_holidays_that_end_with_the_year_are_told(home):
    ics = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:1\r\n"
        "DTSTART;VALUE=DATE:20261225\r\nSUMMARY:off\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    text = '{timezone: UTC, open: {mon-sun: "09:00-17:00"}, ics: off.ics}'
    (found,) = await look_at_calendar(home, text, off_ics=ics)

    assert found.grade is Grade.WARNING
    assert "'off.ics' ends before 2027" in found.found
    assert found.cure.startswith("add the days of the year ahead")
