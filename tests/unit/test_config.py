"""The settings file: what it says, and every mistake in it."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as st

from imbot.config import load_settings
from imbot.config.tree import Tree
from imbot.errors import ConfigError
from imbot.problems import Place, Problem
from tests.unit.settings_samples import LEAST, mistakes, read, warnings

WHOLE = """\
gws:      {url: "https://gws.example:8090", cometd_path: /api/v2/notifications,
           strict_capabilities: false, on_alerting: wait, on_stop: logout, leftovers: adopt}
bot:      {nickname: Robin}
agents:
  - {user: bot1, password: "${env:BOT1_PASSWORD}", place: 0815, login_code: 1001, queue: +49,
     device: 1.50, channels: [voice]}
  - {user: bot2, auth: {bearer: "${file:token}"}}
rules:    [rules/]
plugins:  {disabled: [], paths: [plugins/], options: {crm: {url: "https://crm.example"}}}
store:    sqlite:///imbot.db
secrets:  {CRM_URL: "${env:CRM_URL}"}
http:     {allow: ["https://crm.example"]}
delivery: {quiesce: 90s}
timezone: Europe/Berlin
admin:    {listen: "127.0.0.1:8081", token: "${file:token}"}
"""


def test_the_file_that_the_plan_shows_is_read_whole(tmp_path):
    """It is what everybody starts from."""
    (tmp_path / "token").write_text("b34rer\n")
    around = {"BOT1_PASSWORD": "pa55", "CRM_URL": "https://crm.example"}

    loaded = read(tmp_path, WHOLE, environment=around)

    first, second = loaded.settings.agents
    assert loaded.warnings == ()
    assert first.password.get_secret_value() == "pa55"
    assert second.auth.bearer.get_secret_value() == "b34rer"
    assert loaded.settings.delivery.quiesce == 90
    assert loaded.settings.rules == (Path("rules"),)


def test_numbers_are_taken_as_spelled_where_text_is_due(tmp_path):
    """A place 0815 that became 815, or a queue that lost its plus, is another one."""
    (tmp_path / "token").write_text("b34rer")
    around = {"BOT1_PASSWORD": "pa55", "CRM_URL": "x"}

    first, _ = read(tmp_path, WHOLE, environment=around).settings.agents

    assert (first.place, first.login_code) == ("0815", "1001")
    assert (first.queue, first.device) == ("+49", "1.50")


def test_every_mistake_comes_at_once_with_its_place_and_the_nearest_right_word(tmp_path):
    """Whoever mends one mistake after another starts the daemon ten times."""
    text = """\
gws: {url: "https://gws.example/api", ca_fil: x, on_stop: logoff, strict_capabilities: 5}
agents:
  - {user: bot1, password: "${env:NONE}", chanels: [voice]}
  - {user: bot2, auth: {bearr: x}}
  - user: ""
    password: x
  - bot3
nickname: Robin
http: {allow: "https://crm.example"}
plugins: [crm]
delivery: {quiesce: 90, message_bytes: 5, mark: perhaps, keep: [30d], reason_key: ""}
timezone: Europe/Berln
country: Germany
log: {level: [info]}
store: {url: x}
bot: {instance: "a b"}
admin: {listen: 8081}
"""
    assert mistakes(tmp_path, text) == [
        (
            "imbot.yaml:1:12: error[wrong-value]: gws.url: this is no origin; write scheme://host "
            "or scheme://host:port, no path"
        ),
        "imbot.yaml:1:39: error[unknown-key]: no setting 'gws.ca_fil'; did you mean 'ca_file'?",
        (
            "imbot.yaml:1:59: error[wrong-value]: gws.on_stop: 'logoff' is not one of logout, "
            "keep, complete; did you mean 'logout'?"
        ),
        (
            "imbot.yaml:1:88: error[wrong-value]: gws.strict_capabilities: true or false is due "
            "here; Whether a step is withheld when GWS does not list its operation as a capability"
        ),
        (
            "imbot.yaml:3:28: error[no-variable]: the variable NONE is not set; set it, for "
            "example: export NONE=…"
        ),
        (
            "imbot.yaml:3:43: error[unknown-key]: no setting 'agents.0.chanels'; did you mean "
            "'channels'?"
        ),
        (
            "imbot.yaml:4:25: error[unknown-key]: no setting 'agents.1.auth.bearr'; did you mean "
            "'bearer'?"
        ),
        (
            "imbot.yaml:5:11: error[wrong-value]: agents.2.user: this must not be empty; GWS user "
            "name; unique among the agents"
        ),
        (
            "imbot.yaml:7:5: error[wrong-value]: agents.3: a mapping is due here; write 'key: "
            "value' below it"
        ),
        "imbot.yaml:8:1: error[unknown-key]: no setting 'nickname'; did you mean 'bot.nickname'?",
        "imbot.yaml:9:15: error[wrong-value]: http.allow: a list is due here; write [one, another]",
        (
            "imbot.yaml:10:10: error[wrong-value]: plugins: a mapping is due here; write 'key: "
            "value' below it"
        ),
        (
            "imbot.yaml:11:21: error[wrong-value]: delivery.quiesce: '90' is no duration; it has "
            "no unit; did you mean '90s'?"
        ),
        (
            "imbot.yaml:11:40: error[wrong-value]: delivery.message_bytes: this must be greater "
            "than or equal to 100; Longer replies are split; SIP carries about 1,300 bytes"
        ),
        (
            "imbot.yaml:11:49: error[wrong-value]: delivery.mark: true or false is due here; "
            "Whether to leave a mark in user data by which bots know each other"
        ),
        (
            "imbot.yaml:11:64: error[wrong-value]: delivery.keep: a duration is due here; write "
            "one such as 90s"
        ),
        (
            "imbot.yaml:11:83: error[wrong-value]: delivery.reason_key: this must not be empty; "
            "The user-data key under which 'complete' leaves its reason"
        ),
        (
            "imbot.yaml:12:11: error[wrong-value]: timezone: 'Europe/Berln' is no time zone; did "
            "you mean 'Europe/Berlin'?"
        ),
        (
            "imbot.yaml:13:10: error[wrong-value]: country: this is no country; write two capitals "
            "such as DE"
        ),
        (
            "imbot.yaml:14:14: error[wrong-value]: log.level: a word is due here; known: debug, "
            "error, info, warning"
        ),
        (
            "imbot.yaml:15:8: error[wrong-value]: store: text is due here; Where imbot keeps what "
            "it did, as a database URL"
        ),
        (
            "imbot.yaml:16:17: error[wrong-value]: bot.instance: this does not fit; Names this "
            "imbot among others in the mark that bots leave for each other: letters, digits, '_' "
            "and '-'"
        ),
        (
            "imbot.yaml:17:17: error[wrong-value]: admin.listen: this is no address with a port; "
            "write one such as 127.0.0.1:8081"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "imbot.yaml:1:1: error[missing-key]: 'gws' is missing; add 'gws': The deployment"),
        (
            "gws: {}\n",
            "imbot.yaml:1:1: error[missing-key]: 'gws.url' is missing; add 'url': Where GWS ",
        ),
        ("gws:\n", "imbot.yaml:1:1: error[missing-key]: 'gws' is missing"),
        (
            "agents: []\n",
            "imbot.yaml:1:9: error[wrong-value]: agents: this must not be empty; The accounts, or",
        ),
        (
            "agents:\n  - password: x\n",
            "imbot.yaml:2:5: error[missing-key]: 'agents.0.user' is missing; add 'user': GWS user",
        ),
        (
            "agents:\n  - user: a\n",
            "imbot.yaml:2:5: error[wrong-value]: agents.0: name exactly one of password, auth",
        ),
    ],
)
def test_what_is_missing_is_placed_at_its_owner(tmp_path, text, line):
    """There is no other place to write it."""
    assert any(told.startswith(line) for told in mistakes(tmp_path, text))


def test_an_empty_value_is_as_good_as_none(tmp_path):
    """A section whose lines are all commented out must not be a mistake."""
    loaded = read(tmp_path, LEAST + "bot:\nadmin: {token: null}\nplugins: {options: {crm: }}\n")

    assert loaded.settings.bot.nickname == "Bot"
    assert loaded.settings.admin.token is None


def test_an_agent_that_stands_there_twice_is_refused_at_the_second_place(tmp_path):
    """Two logins of one account throw each other out for ever."""
    text = LEAST + "  - {user: bot2, password: x}\n  - {user: bot1, password: x}\n"

    assert mistakes(tmp_path, text) == [
        (
            "imbot.yaml:5:12: error[duplicate-agent]: agents.2.user: 'bot1' stands here a second "
            "time; first at imbot.yaml:3:12; remove one"
        )
    ]


def test_yaml_mistakes_hide_no_others(tmp_path):
    """A key that stands twice leaves the rest readable."""
    text = LEAST + "bot: {nickname: A, nickname: B, nicknam: C}\n"

    assert mistakes(tmp_path, text) == [
        (
            "imbot.yaml:4:20: error[duplicate-key]: 'nickname' stands here a second time; first at "
            "imbot.yaml:4:7; remove one"
        ),
        "imbot.yaml:4:33: error[unknown-key]: no setting 'bot.nicknam'; did you mean 'nickname'?",
    ]


def test_a_text_that_is_no_yaml_is_the_only_mistake_of_the_file(tmp_path):
    """That everything is missing in it would be noise; other sources are still looked at."""
    told = mistakes(tmp_path, "gws: [\n", options=["bto.x=1"])

    assert [line.partition("; ")[0] for line in told] == [
        (
            "imbot.yaml:2:1: error[yaml-syntax]: no YAML: while parsing a flow node, did not find "
            "expected node content"
        ),
        "option bto.x: error[unknown-key]: no setting 'bto'",
    ]


def test_a_reference_without_quotes_between_braces_says_quote_it(tmp_path):
    """YAML takes its brace for its own: the first mistake that everybody makes."""
    text = 'gws: {url: "https://gws"}\nagents:\n  - {user: a, password: ${env:X}}\n'

    (told,) = mistakes(tmp_path, text)

    assert told.startswith("imbot.yaml:3:")
    assert told.endswith('; quote every "${…}" between { and }')


def test_settings_that_are_no_mapping_are_told_so(tmp_path):
    """A list of settings has no keys to miss."""
    assert mistakes(tmp_path, "- gws\n") == [
        "imbot.yaml:1:1: error[wrong-type]: settings are a mapping; write 'key: value'"
    ]


@pytest.mark.parametrize("name", ["none.yaml", "folder", "nul\0"])
def test_a_file_that_cannot_be_read_is_the_only_mistake(tmp_path, name):
    """Everything else would be missing only because of it."""
    (tmp_path / "folder").mkdir()

    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / name, environment={})

    (problem,) = caught.value.problems
    assert problem.code == "no-settings"
    assert problem.cure == "write one, or name another with --config FILE"


def test_without_a_name_it_is_imbot_yaml_here(tmp_path, monkeypatch):
    """So `imbot run` needs no arguments in a bot's folder."""
    read(tmp_path)
    monkeypatch.chdir(tmp_path)

    loaded = load_settings(None, environment={"TOKEN": "x"})

    assert loaded.path == Path("imbot.yaml")
    assert loaded.base == tmp_path


def test_paths_start_from_the_settings_file_even_through_a_link(tmp_path, monkeypatch):
    """A mounted configuration is often a link into a folder that holds nothing else."""
    (tmp_path / "real").mkdir()
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "token").write_text("near")
    text = LEAST.replace("${env:TOKEN}", "${file:token}")
    (tmp_path / "real" / "imbot.yaml").write_text(text)
    (tmp_path / "bot" / "imbot.yaml").symlink_to(tmp_path / "real" / "imbot.yaml")
    monkeypatch.chdir(tmp_path)

    loaded = load_settings(Path("bot/imbot.yaml"), environment={})

    assert loaded.base == tmp_path / "bot"
    assert loaded.settings.agents[0].auth.bearer.get_secret_value() == "near"


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
SECTIONS = ["gws", "bot", "agents", "rules", "plugins", "store", "secrets", "http", "delivery"]


@given(text=st.text(max_size=200) | st.binary(max_size=200))
@tuned(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_text_is_answered_with_anything_but_config_error(tmp_path, text):
    """What a file holds is input; a traceback would tell its author nothing."""
    path = tmp_path / "imbot.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))

    with pytest.raises(ConfigError):
        load_settings(path, environment={})


@given(
    tree=st.dictionaries(st.sampled_from(SECTIONS), yaml_values, max_size=5),
    laid=st.dictionaries(
        st.lists(st.sampled_from([*SECTIONS, "0", "url", "x", ""]), min_size=1, max_size=4).map(
            lambda words: "IMBOT_" + "__".join(words).upper()
        ),
        st.text(max_size=8) | st.sampled_from(["[a, b]", "{a: b}", "[", "${env:X}", "agents.csv"]),
        max_size=3,
    ),
    options=st.lists(st.text(max_size=12), max_size=2),
)
@tuned(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_settings_of_any_shape_raise_anything_but_config_error(tmp_path, tree, laid, options):
    """Also where parts of them are right, and whatever lies over them."""
    import yaml

    path = tmp_path / "imbot.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), errors="replace")
    with suppress(ConfigError):
        load_settings(path, environment=laid, options=options, secrets_folder=tmp_path)


def test_what_has_no_place_is_placed_at_the_nearest_thing_around_it():
    """A mistake without any place could not be found."""
    tree = Tree(Place("a", 1, 1), places={("gws",): Place("a", 2, 6)})

    assert tree.place(("gws", "url", 0)) == Place("a", 2, 6)
    assert tree.key_place(("bot",)) == Place("a", 1, 1)


def test_warnings_are_kept_beside_the_settings(tmp_path):
    """They must not be lost where nothing stops."""
    loaded = read(tmp_path, environment={"IMBOT_PORT": "tcp://10.0.0.1:8081"})

    assert warnings(loaded) == [
        (
            "environment IMBOT_PORT: warning[unknown-key]: this is no setting and is ignored; "
            "known: admin, agents, bot, budget, country, delivery, gws, http, log, plugins, rules, "
            "secrets, shadow, store, store_on_damage, timezone"
        )
    ]


def test_what_is_misspelt_is_not_missing_too(tmp_path):
    """One slip is one line."""
    text = LEAST.replace("url:", "ulr:").replace("agents:", "agent:")

    assert mistakes(tmp_path, text) == [
        "imbot.yaml:1:7: error[unknown-key]: no setting 'gws.ulr'; did you mean 'url'?",
        "imbot.yaml:2:1: error[unknown-key]: no setting 'agent'; did you mean 'agents'?",
    ]


@pytest.mark.parametrize("store", ["imbot.db", "sqlit:///imbot.db", "mysql://host/imbot"])
def test_a_store_that_is_none_is_told(tmp_path, store):
    """Before imbot starts."""
    assert mistakes(tmp_path, f"{LEAST}store: {store}\n") == [
        "imbot.yaml:4:8: error[wrong-value]: store: this is no store; write sqlite:///FILE.db"
    ]


def test_a_setting_is_found_by_its_path_and_a_text_of_a_list_by_its_words(tmp_path):
    """Whoever reads settings later can say where they stand."""
    loaded = read(tmp_path, f"{LEAST}rules: [a, b]\nplugins: {{disabled: [crm]}}\n")

    def line_and_column(name):
        (found,) = loaded.placed([Problem(Place(name), "code", "what")])
        return found.place.line, found.place.column

    assert line_and_column("rules.1") == (4, 12)
    assert line_and_column("plugins.disabled.crm") == (5, 22)
    assert line_and_column("plugins.disabled") == (5, 11)
    assert line_and_column("gws.url.nothing.below") == (1, 7)
    assert loaded.placed([Problem(Place("nowhere"), "code", "what")])[0].place == Place("nowhere")
    here = Problem(Place("rules.1", 3, 4), "code", "what")
    assert loaded.placed([here]) == [here]
