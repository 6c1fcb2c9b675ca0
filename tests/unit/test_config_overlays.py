"""What lies over the settings file: the environment, and over that the command line."""

import pytest

from tests.unit.settings_samples import LEAST, mistakes, read, warnings


def over(folder, text=LEAST, **environment):
    """Return the settings with these variables, each without its prefix."""
    around = {f"IMBOT_{name}": value for name, value in environment.items()}
    return read(folder, text, environment=around).settings


def test_the_command_line_lies_over_the_environment_and_that_over_the_file(tmp_path):
    """The nearer to the start of the program, the stronger."""
    text = LEAST + "bot: {nickname: File, instance: file}\ntimezone: Europe/Berlin\n"
    around = {"IMBOT_BOT__NICKNAME": "Variable", "IMBOT_BOT__INSTANCE": "variable"}

    settings = read(tmp_path, text, environment=around, options=["bot.nickname=Option"]).settings

    assert settings.bot.nickname == "Option"
    assert settings.bot.instance == "variable"
    assert settings.timezone == "Europe/Berlin"


def test_values_are_taken_as_text_whatever_yaml_would_make_of_them(tmp_path):
    """A password is not to be quoted twice."""
    odd = '%a: [x, "{'
    settings = over(tmp_path, ADMIN__TOKEN=odd, BOT__NICKNAME="007", COUNTRY="NO")

    assert settings.admin.token.get_secret_value() == odd
    assert settings.bot.nickname == "007"
    assert settings.country == "NO"


def test_numbers_flags_and_durations_are_read_where_they_are_due(tmp_path):
    """Text is all that an environment can hold."""
    settings = over(
        tmp_path, DELIVERY__MESSAGE_BYTES="500", DELIVERY__MARK="false", DELIVERY__QUIESCE="1m30s"
    )

    assert settings.delivery.message_bytes == 500
    assert settings.delivery.mark is False
    assert settings.delivery.quiesce == 90


def test_a_list_or_a_mapping_is_written_in_brackets(tmp_path):
    """As in the file."""
    settings = over(
        tmp_path,
        HTTP__ALLOW='["https://a.example", "https://b.example"]',
        AGENTS="[{user: bot7, password: x, place: 0815}]",
        SECRETS="{A: 1}",
    )

    assert settings.http.allow == ("https://a.example", "https://b.example")
    assert settings.agents[0].place == "0815"
    assert settings.secrets["A"].get_secret_value() == "1"


def test_entries_of_a_list_are_named_by_their_index(tmp_path):
    """The password of the third agent can come from the environment alone."""
    around = {f"AGENTS__{i}__USER": f"new{i}" for i in range(1, 12)}
    around |= {f"AGENTS__{i}__PASSWORD": f"pw{i}" for i in range(1, 12)}

    settings = over(tmp_path, AGENTS__0__PLACE="p0", **around)

    users = [agent.user for agent in settings.agents]
    assert users == ["bot1", *(f"new{i}" for i in range(1, 12))]
    assert settings.agents[0].place == "p0"
    assert settings.agents[11].password.get_secret_value() == "pw11"


def test_a_list_that_the_file_lacks_begins_with_index_0(tmp_path):
    """In a container there may be nothing in the file but what all share."""
    text = 'gws: {url: "https://gws"}\n'

    settings = over(tmp_path, text, AGENTS__0__USER="a", AGENTS__0__PASSWORD="b")

    assert [agent.user for agent in settings.agents] == ["a"]


def test_keys_of_the_file_are_met_in_any_case(tmp_path):
    """Variables are in capitals; names of secrets too, but names of plugins are not."""
    text = LEAST + "plugins: {options: {crm: {userName: a}}}\nsecrets: {Crm_Token: a}\n"

    settings = over(
        tmp_path,
        text,
        PLUGINS__OPTIONS__CRM__USERNAME="b",
        PLUGINS__OPTIONS__CRM__URL="https://crm",
        SECRETS__CRM_TOKEN="c",
        SECRETS__OTHER="d",
    )

    assert settings.plugins.options == {"crm": {"userName": "b", "url": "https://crm"}}
    assert {name: one.get_secret_value() for name, one in settings.secrets.items()} == {
        "Crm_Token": "c",
        "OTHER": "d",
    }


def test_a_secret_of_the_environment_does_not_stand_in_clear(tmp_path):
    """Only what stands in a file is warned of."""
    loaded = read(
        tmp_path, environment={"IMBOT_ADMIN__TOKEN": "x", "IMBOT_SECRETS": "{A: in-brackets}"}
    )

    assert warnings(loaded) == []


def test_a_secret_on_the_command_line_stands_in_clear(tmp_path):
    """Every user of the machine sees it in the list of processes."""
    loaded = read(tmp_path, options=["admin.token=x", "secrets={A: y}", "bot.nickname=z"])

    assert [line.partition(";")[0] for line in warnings(loaded)] == [
        "option secrets:1:5: warning[clear-secret]: secrets.A stands here in clear",
        "option admin.token: warning[clear-secret]: admin.token stands here in clear",
    ]


def test_references_are_filled_in_there_too(tmp_path):
    """So that a variable may name the file that another one holds."""
    settings = over(tmp_path, ADMIN__TOKEN="${env:TOKEN}")

    assert settings.admin.token.get_secret_value() == "t0ken"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("GSW__URL", "x", "error[unknown-key]: no setting 'gsw'; did you mean 'gws'?"),
        ("GWS__URLL", "x", "error[unknown-key]: no setting 'gws.urll'; did you mean 'url'?"),
        ("GWS", "x", "error[wrong-value]: gws: a mapping is due here; write 'key: value' below it"),
        ("BOT__", "x", "error[unknown-key]: no setting 'bot.'; known: instance, nickname"),
        ("STORE__URL", "x", "error[wrong-value]: store: text is due here; Where imbot keeps what"),
        ("AGENTS__2__USER", "x", "error[unknown-key]: 'agents' has no '2'; write a number from 0"),
        ("AGENTS__ONE", "x", "error[unknown-key]: 'agents' has no 'ONE'; write a number from 0 to"),
        ("GWS__URL__HOST", "x", "error[unknown-key]: 'gws.url' has no 'HOST'"),
        ("DELIVERY__QUIESCE", "90", "error[wrong-value]: delivery.quiesce: '90' is no duration"),
        ("RULES", "rules", "error[wrong-value]: rules: a list is due here; write [one, another]"),
    ],
)
def test_a_mistake_of_the_environment_names_the_variable(tmp_path, name, value, told):
    """There is no line to point at."""
    (only,) = mistakes(tmp_path, environment={f"IMBOT_{name}": value})

    assert only.startswith(f"environment IMBOT_{name}: {told}")


def test_a_mistake_inside_brackets_has_its_column(tmp_path):
    """A list of ten origins on one line."""
    around = {"IMBOT_HTTP__ALLOW": '["https://a.example", b]', "IMBOT_RULES": "[rules"}

    assert [line.split("; ")[0] for line in mistakes(tmp_path, environment=around)] == [
        "environment IMBOT_HTTP__ALLOW:1:23: error[wrong-value]: http.allow.1: this is no origin",
        (
            "environment IMBOT_RULES:1:7: error[yaml-syntax]: no YAML: while parsing a flow "
            "sequence, did not find expected ',' or ']'"
        ),
    ]


def test_a_mistake_of_the_command_line_names_the_option(tmp_path):
    """As written."""
    options = ["bot.nicknam=x", "bot.nickname", "=x", "timezone=Mars"]

    assert mistakes(tmp_path, options=options) == [
        (
            "option: error[bad-option]: an option without a key or without '='; write "
            "section.key=value"
        ),
        (
            "option: error[bad-option]: an option without a key or without '='; write "
            "section.key=value"
        ),
        (
            "option bot.nicknam: error[unknown-key]: no setting 'bot.nicknam'; did you mean "
            "'nickname'?"
        ),
        (
            "option timezone: error[wrong-value]: timezone: 'Mars' is no time zone; write one such "
            "as Europe/Berlin"
        ),
    ]


@pytest.mark.parametrize("name", ["IMBOT_PORT", "IMBOT_SERVICE_HOST", "IMBOT_PORT_80_TCP"])
def test_variables_that_container_platforms_set_only_warn(tmp_path, name):
    """A service called imbot would stop every pod of its namespace."""
    (told,) = warnings(read(tmp_path, environment={name: "x"}))

    assert told.startswith(f"environment {name}: warning[unknown-key]: this is no setting")


def test_a_misspelt_variable_without_a_section_warns_with_the_right_word(tmp_path):
    """The same, read as what it more likely is."""
    (told,) = warnings(read(tmp_path, environment={"IMBOT_TIMEZON": "UTC"}))

    assert told.endswith("; did you mean 'timezone'?")


def test_other_variables_are_not_looked_at(tmp_path):
    """The environment is full of them."""
    loaded = read(tmp_path, environment={"PATH": "/bin", "IMBOT_": "x", "XIMBOT_BOT__X": "y"})

    assert loaded.warnings == ()
