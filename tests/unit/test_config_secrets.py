"""Secrets: where they come from, and that nothing shows them."""

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.config import folder_secrets, masked, secret_folders
from imbot.config.references import Sources, fill, has_reference
from imbot.errors import ConfigError
from imbot.problems import Place
from imbot.yamlfile import dump
from tests.unit.settings_samples import LEAST, mistakes, read, warnings

HERE = Place("imbot.yaml", 3, 7)
CURE = "write ${env:NAME}, ${file:PATH} or ${secret:NAME}"


@pytest.fixture
def sources(tmp_path):
    """A variable, a file, and a secret in each of two folders."""
    for folder, name, text in [
        ("own", "TOKEN", "from own\n"),
        ("run", "TOKEN", "from run\n"),
        ("run", "CRM_TOKEN", "crm\r\n"),
        ("run", ".hidden", "x"),
    ]:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(text)
    (tmp_path / "run" / "folder").mkdir()
    (tmp_path / "near").write_bytes("\ufeffnah\n\n".encode())
    (tmp_path / "latin").write_bytes(b"\xe4")
    (tmp_path / "huge").write_bytes(b"x" * 70_000)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    environment = {"A": "${env:B}", "CREDENTIALS_DIRECTORY": str(tmp_path / "own")}
    return Sources(environment, tmp_path, tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${env:A}", "${env:B}"),
        ("${file:near}", "nah"),
        ("${secret:TOKEN}", "from own"),
        ("${secret:CRM_TOKEN}", "crm"),
        ("https://${secret:CRM_TOKEN}:${file:near}@x", "https://crm:nah@x"),
        ("$${env:A} costs $5", "${env:A} costs $5"),
        ("$", "$"),
    ],
)
def test_references_are_filled_in_once(sources, text, filled):
    """What comes from outside is not looked at again, line ends at its end are left out."""
    assert fill(text, sources, HERE) == (filled, [])


@pytest.mark.parametrize(
    ("text", "code", "what", "cure"),
    [
        ("${env:B}", "no-variable", "the variable B is not set", "for example: export B=…"),
        ("${file:none}", "no-file", "/none cannot be read: No such file", "that imbot may read"),
        ("${file:own}", "no-file", "/own cannot be read: Is a directory", "that imbot may read"),
        ("${file:a\0b}", "no-file", "cannot be read: embedded null byte", "that imbot may read"),
        ("${file:loop}", "no-file", "/loop cannot be read: ", "that imbot may read"),
        ("${file:latin}", "bad-encoding", "/latin is no UTF-8 text", "save it as UTF-8"),
        ("${file:huge}", "too-large", "/huge is larger than 65536 bytes", "the secret alone"),
        ("${secret:TOKN}", "no-secret", "there is no secret 'TOKN'", "did you mean 'TOKEN'?"),
        ("${secret:../near}", "no-secret", "there is no secret '../near'", "TOKEN"),
        ("${secret:.hidden}", "no-secret", "there is no secret '.hidden'", "TOKEN"),
        ("${secret:folder}", "no-secret", "there is no secret 'folder'", "TOKEN"),
        ("${envv:A}", "bad-reference", "'${…:' names no source", "did you mean 'env'?"),
        ("${A}", "bad-reference", "'${…}' without a source and a name", CURE),
        ("${env:}", "bad-reference", "'${…}' without a source and a name", CURE),
        ("${env:A", "bad-reference", "a reference without its '}'", CURE),
    ],
)
def test_a_reference_that_leads_nowhere_says_what_would_be_right(sources, text, code, what, cure):
    """An empty password in its place would lock the account."""
    _, (problem,) = fill(text, sources, HERE)

    assert (problem.place, problem.code) == (HERE, code)
    assert what in problem.what
    assert cure in problem.cure


def test_without_any_secrets_folder_the_cure_is_to_name_one(tmp_path):
    """There is no word that could have been meant."""
    _, (problem,) = fill("${secret:A}", Sources({}, tmp_path, tmp_path / "none"), HERE)

    assert problem.cure == "set CREDENTIALS_DIRECTORY to the folder that holds it"


@given(st.text(alphabet="${}:envfilscrt AB\0/", max_size=40))
def test_whatever_the_text_is_filling_it_in_raises_nothing(tmp_path_factory, text):
    """It is input."""
    base = tmp_path_factory.getbasetemp()
    filled, problems = fill(text, Sources({"A": "a"}, base, base / "none"), HERE)

    assert isinstance(filled, str)
    if not has_reference(text):
        assert (filled, problems) == (text.replace("$${", "${"), [])


def test_secret_folders_are_those_that_exist_the_named_one_first(sources, tmp_path):
    """A service has a folder of its own from systemd; containers share a custom."""
    own, run = tmp_path / "own", tmp_path / "run"

    assert secret_folders(sources.environment, run) == [own, run]
    assert secret_folders({}, run) == [run]
    assert secret_folders({}, tmp_path / "none") == []


def test_what_a_folder_hands_out_is_read_as_far_as_it_can_be(sources, tmp_path):
    """One file that is no secret of ours must not keep the others from us."""
    (tmp_path / "run" / "binary").write_bytes(b"\xff")

    held = folder_secrets(sources.environment, tmp_path / "run")

    assert held == {"TOKEN": "from own", "CRM_TOKEN": "crm"}


def test_a_folder_that_vanishes_hands_out_nothing(tmp_path, monkeypatch):
    """Between the look and the listing it may be unmounted."""
    monkeypatch.setattr("imbot.config.references.Path.is_dir", lambda _path: True)

    assert folder_secrets({}, tmp_path / "gone") == {}


# Nothing shows them ---------------------------------------------------------------------------

CANARIES = ("c4nary-one", "c4nary-two", "c4nary-three", "c4nary-four", "c4nary-five", "c4nary-six")
HIDDEN = """\
gws: {url: "https://gws.example:8090"}
agents:
  - {user: bot1, password: c4nary-one}
  - {user: bot2, auth: {headers: {X-Login: c4nary-two}}}
secrets: {ANY: c4nary-three}
plugins: {options: {crm: {apiToken: c4nary-four, tries: 3, deep: [{password: c4nary-five}],
          url: "${env:URL}", size: 1.50}}}
store: postgresql://imbot:c4nary-six@db.example/imbot
"""


@pytest.fixture
def hidden(tmp_path):
    """Settings with a secret in every place that may hold one."""
    return read(tmp_path, HIDDEN, environment={"URL": "https://c4nary-one@crm"})


@pytest.mark.parametrize("show", [repr, str, lambda loaded: dump(masked(loaded.settings))])
def test_no_way_of_showing_settings_shows_a_secret(hidden, show):
    """`imbot config` is pasted into tickets, and a repr ends up in a log."""
    shown = show(hidden)

    assert "bot2" in shown
    assert [canary for canary in CANARIES if canary in shown] == []


def test_what_is_masked_is_still_readable(hidden):
    """What is in force must be told apart from what is not, durations as they are written."""
    shown = masked(hidden.settings)

    assert shown["agents"][0]["password"] == "********"
    assert shown["agents"][1]["auth"]["headers"] == {"X-Login": "********"}
    assert shown["secrets"] == {"ANY": "********"}
    assert shown["store"] == "postgresql://imbot:********@db.example/imbot"
    assert shown["plugins"]["options"]["crm"] == {
        "apiToken": "********",
        "tries": 3,
        "deep": [{"password": "********"}],
        "url": "********",
        "size": 1.5,
    }
    assert shown["delivery"]["quiesce"] == "1m30s"
    assert shown["rules"] == ["rules"]
    assert shown["admin"]["token"] is None


def test_a_secret_in_clear_warns_with_its_place(hidden):
    """Whoever can read the file has it, and its history keeps it."""
    cure = f"in clear; {CURE}"
    assert sorted(warnings(hidden)) == [
        f"imbot.yaml:3:28: warning[clear-secret]: agents.0.password stands here {cure}",
        f"imbot.yaml:4:44: warning[clear-secret]: agents.1.auth.headers.X-Login stands here {cure}",
        f"imbot.yaml:5:16: warning[clear-secret]: secrets.ANY stands here {cure}",
        f"imbot.yaml:6:37: warning[clear-secret]: plugins.options.crm.apiToken stands here {cure}",
        (
            f"imbot.yaml:6:78: warning[clear-secret]: plugins.options.crm.deep.0.password stands "
            f"here {cure}"
        ),
        f"imbot.yaml:8:8: warning[clear-secret]: store stands here {cure}",
    ]


def test_secrets_from_elsewhere_do_not_warn(tmp_path):
    """That is the cure."""
    assert read(tmp_path, LEAST + 'secrets: {A: "x${env:TOKEN}"}\n').warnings == ()


@pytest.mark.parametrize(
    "line",
    [
        "admin: {token: [c4nary-one]}",
        "admin: {token: {a: c4nary-one}}",
        "admin: {tokn: c4nary-one}",
        'admin: {token: "c4nary-one${c4nary-two}"}',
        'admin: {token: "c4nary-one${c4nary-two"}',
        'admin: {token: "${env:TOKEN}", listen: "${env:TOKEN}"}',
        "secrets: c4nary-one",
        "bot: {nickname: x, instance: 'c4nary-one c4nary-two'}",
        "store: [c4nary-one]",
        'http: {allow: ["https://user:c4nary-one@crm.example"]}',
    ],
)
def test_no_mistake_shows_a_secret(tmp_path, line):
    """Mistakes go to logs, too; not even the traceback knows the value."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"{LEAST}{line}\n", environment={"TOKEN": CANARIES[0]})

    shown = "".join(traceback.format_exception(caught.value))
    assert [canary for canary in CANARIES if canary in shown] == []


def test_no_mistake_of_an_option_shows_its_value(tmp_path):
    """The same for the command line, which shells keep."""
    options = ["admin.tokn=c4nary-one", "c4nary-two", "admin.token=", "=c4nary-three"]

    shown = "\n".join(mistakes(tmp_path, options=options))

    assert "admin.tokn" in shown
    assert [canary for canary in CANARIES if canary in shown] == []


def test_a_user_or_password_that_basic_cannot_carry_is_refused_without_showing_it(tmp_path):
    """Found at the login, it would look like a wrong password."""
    text = LEAST + (
        "  - {user: 'a:b', password: c4nary-one}\n"
        "  - {user: c, password: c4nary-one€, encoding: iso-8859-1}\n"
    )
    assert [line.partition(" ")[2] for line in mistakes(tmp_path, text)] == [
        "error[wrong-value]: agents.1: a user with ':' cannot log in with a password; use auth",
        (
            "error[wrong-value]: agents.2: user or password cannot be written in iso-8859-1; write "
            "encoding: utf-8"
        ),
    ]


def test_an_escaped_reference_is_text_in_clear(tmp_path):
    """It stands there, whatever it looks like."""
    loaded = read(tmp_path, LEAST + 'secrets: {A: "$${env:TOKEN}"}\n')

    assert loaded.settings.secrets["A"].get_secret_value() == "${env:TOKEN}"
    assert len(loaded.warnings) == 1


def test_an_empty_secret_is_refused(tmp_path):
    """A variable that is set and empty is the usual slip of a deployment."""
    (told,) = mistakes(tmp_path, environment={"TOKEN": ""})

    assert told.endswith(
        "error[wrong-value]: agents.0.auth.bearer: this secret is empty; Token "
        "sent as 'Authorization: Bearer'"
    )
