"""Agents from a file of their own, CSV or YAML, with thousands of rows."""

import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.config.agentsfile import read_csv
from tests.unit.settings_samples import mistakes, read, warnings

FROM_CSV = 'gws: {url: "https://gws"}\nagents: agents.csv\n'
FROM_YAML = 'gws: {url: "https://gws"}\nagents: agents.yaml\n'
CURE = "write ${env:NAME}, ${file:PATH} or ${secret:NAME}"


def test_a_csv_file_names_its_columns_in_the_first_line(tmp_path):
    """As every spreadsheet writes it; an empty cell is left out, an empty line too."""
    table = (
        "\ufeffuser,password,bearer, place ,channels,login_code\r\n"
        'bot1,"pa""55, ${env:TOKEN}",,0815,voice chat,1001\r\n'
        "\r\n"
        "bot2,,${env:TOKEN},,,\r\n"
    )
    first, second = read(tmp_path, FROM_CSV, agents_csv=table).settings.agents

    assert first.password.get_secret_value() == 'pa"55, t0ken'
    assert (first.place, first.login_code, first.channels) == ("0815", "1001", ("voice", "chat"))
    assert second.auth.bearer.get_secret_value() == "t0ken"
    assert (second.place, second.channels) == ("", ("voice",))


def test_a_csv_file_may_be_parted_by_semicolons(tmp_path):
    """Spreadsheets of half of Europe write it so."""
    table = "user;password\nbot1;a,b\n"

    (agent,) = read(tmp_path, FROM_CSV, agents_csv=table).settings.agents

    assert agent.password.get_secret_value() == "a,b"


def test_a_yaml_file_is_a_list_of_agents(tmp_path):
    """The same keys as in the settings."""
    rows = '- {user: bot1, password: "${file:agents.yaml}", place: 0815}\n'

    (agent,) = read(tmp_path, FROM_YAML, agents_yaml=rows).settings.agents

    assert agent.place == "0815"


def test_the_path_of_the_file_may_be_filled_in(tmp_path):
    """One settings file for all sites."""
    text = FROM_CSV.replace("agents.csv", '"${env:SITE}.csv"')

    loaded = read(
        tmp_path, text, environment={"SITE": "agents"}, agents_csv="user,bearer\na,${env:TOKEN}\n"
    )

    assert loaded.settings.agents[0].user == "a"
    assert mistakes(tmp_path, text) == [
        (
            "imbot.yaml:2:9: error[no-variable]: the variable SITE is not set; set it, for "
            "example: export SITE=…"
        )
    ]


def test_mistakes_of_rows_have_their_line_and_column(tmp_path):
    """In thousands of rows nobody finds the one without."""
    table = (
        "user,password,bearer,encoding\n"
        "bot1,x,,\n"
        ",x,,\n"
        "bot2,,${env:NO},\n"
        '"bot\n3",x,,latin\n'
        "bot1,x,,\n"
        "bot4,x,y,\n"
        "bot5,x,,utf-8,extra\n"
    )
    assert mistakes(tmp_path, FROM_CSV, agents_csv=table) == [
        (
            "agents.csv:3:1: error[missing-key]: 'agents.1.user' is missing; add 'user': GWS user "
            "name; unique among the agents"
        ),
        (
            "agents.csv:4:7: error[no-variable]: the variable NO is not set; set it, for example: "
            "export NO=…"
        ),
        (
            "agents.csv:5:10: error[wrong-value]: agents.3.encoding: 'latin' is not one of utf-8, "
            "iso-8859-1; known: iso-8859-1, utf-8"
        ),
        (
            "agents.csv:7:1: error[duplicate-agent]: agents.4.user: 'bot1' stands here a second "
            "time; first at agents.csv:2:1; remove one"
        ),
        "agents.csv:8:1: error[wrong-value]: agents.5: name exactly one of password, auth",
        "agents.csv:9:1: error[bad-csv]: 5 cells under 4 columns; quote a cell that holds a comma",
    ]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (
            "user,pasword,bearer\na,b,\n",
            (
                "agents.csv:1:6: error[unknown-key]: there is no column 'pasword'; did you mean "
                "'password'?"
            ),
        ),
        (
            "user,password,user\n",
            "agents.csv:1:15: error[duplicate-key]: a second column 'user'; remove one",
        ),
        (
            "password\nx\ny\n",
            (
                "agents.csv:1:1: error[missing-key]: there is no column 'user'; "
                "name the columns in line 1"
            ),
        ),
        (
            "user\nx\ny\n",
            (
                "agents.csv:1:1: error[missing-key]: there is no column 'password' or 'bearer'; "
                "add one; its cells may say ${env:NAME}"
            ),
        ),
        (
            "",
            (
                "agents.csv:1:1: error[missing-key]: there is no column 'user'; "
                "name the columns in line 1"
            ),
        ),
        (
            "user,password\n",
            (
                "agents.csv:1:1: error[wrong-value]: agents: this must not be empty; The accounts, "
                "or the path of a CSV or YAML file with them"
            ),
        ),
        (
            b"user,password\n\xe4,x\n",
            "agents.csv:1:1: error[bad-encoding]: this is no UTF-8 text; save it as UTF-8",
        ),
        (
            'user,password\na,b\nc,"d\n',
            (
                "agents.csv:3:1: error[bad-csv]: this row cannot be read: unexpected end of data; "
                "look for a quote that is not closed, or not doubled inside a quoted cell"
            ),
        ),
    ],
)
def test_a_mistake_of_the_table_is_told_once_and_not_for_each_row(tmp_path, table, told):
    """A thousand lines of 'user is missing' hide the one that matters."""
    assert mistakes(tmp_path, FROM_CSV, agents_csv=table) == [told]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            "{user: a}\n",
            (
                "agents.yaml:1:1: error[wrong-type]: an agents file is a list of agents; begin "
                "each agent with '- '"
            ),
        ),
        ("- [\n", "agents.yaml:2:1: error[yaml-syntax]: no YAML: while parsing a flow node, did"),
        ("- {user: a, pasword: b}\n", "agents.yaml:1:13: error[unknown-key]: no setting 'agents.0"),
    ],
)
def test_mistakes_of_a_yaml_file_have_their_place(tmp_path, rows, told):
    """As those of the settings."""
    (only,) = mistakes(tmp_path, FROM_YAML, agents_yaml=rows)

    assert only.startswith(told)


def test_a_file_that_cannot_be_read_is_told_where_it_is_named(tmp_path):
    """And nothing follows from it."""
    assert mistakes(tmp_path, FROM_CSV) == [
        (
            "imbot.yaml:2:9: error[no-agents]: agents.csv: cannot be read: No such file or "
            "directory; name a CSV or YAML file, or list the agents here"
        )
    ]


def test_passwords_in_clear_warn_once_for_the_whole_file(tmp_path):
    """One line for each of thousands would be no warning."""
    table = "user,password\na,x\nb,${env:TOKEN}\nc,y\n"

    assert warnings(read(tmp_path, FROM_CSV, agents_csv=table)) == [
        f"agents.csv:2:3: warning[clear-secret]: 2 secrets stand in clear; {CURE}"
    ]


@pytest.mark.alone
@pytest.mark.parametrize("form", ["csv", "yaml"])
def test_a_thousand_agents_are_read_within_a_second(tmp_path, form):
    """A restart must not wait for its settings."""
    users = range(1000)
    if form == "csv":
        text, rows = FROM_CSV, "user,password,place,login_code\n"
        rows += "".join(f"bot{i},${{env:TOKEN}},{i:04},{i}\n" for i in users)
    else:
        text = FROM_YAML
        rows = "".join(
            f'- {{user: bot{i}, password: "${{env:TOKEN}}", place: {i}}}\n' for i in users
        )
    gc.collect()
    gc.freeze()  # what other tests have left is not to be looked through again and again
    before = time.process_time()

    loaded = read(tmp_path, text, **{f"agents_{form}": rows})

    took_s = time.process_time() - before
    gc.unfreeze()
    assert len(loaded.settings.agents) == len(users)
    assert took_s < 1


@given(st.text(alphabet='user,password;"\n\r\0 ab', max_size=60) | st.binary(max_size=40))
def test_no_table_raises_anything(text):
    """It is input; every row that is taken has a place."""
    table = read_csv("agents.csv", text if isinstance(text, bytes) else text.encode())

    assert (
        table.problems
        or table.rows
        or b"user" in (text if isinstance(text, bytes) else text.encode())
    )
    assert all((index,) in table.places for index in range(len(table.rows)))
