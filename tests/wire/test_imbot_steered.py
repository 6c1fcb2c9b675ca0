"""A running imbot is steered from the command line, in its clear and its encrypted form."""

import asyncio
import socket
import subprocess
import sys

import pytest

from imbot.cli import steering
from imbot.errors import ImbotError
from imbot.settings import AdminPart
from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.settings import AgentAccount
from tests.certificate import CERTIFICATE
from tests.wire.house import running, until

RULES = """
version: 1
calendars: {shop: {timezone: UTC, open: {mon-sun: "00:00-24:00"}}}
rules:
  - {id: answer, trigger: {message: any}, when: open("shop"), do: [{reply: "Yes?"}]}
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
async def imbot(tmp_path, request):
    account = AgentAccount(user="bot1", password="pw-bot1", number="1001")
    admin = {"listen": f"127.0.0.1:{free_port()}", "token": "a-token-of-the-settings"}
    if getattr(request, "param", "clear") == "encrypted":
        (tmp_path / "tls.pem").write_text(CERTIFICATE)
        admin["tls"] = {"certificate": "tls.pem", "key": "tls.pem"}
    async with (
        Simulator(SimulatorSettings(agents=(account,), seed=1)) as simulator,
        running(tmp_path, simulator.url, is_served=True, rules=RULES, admin=admin) as imbot,
    ):
        await imbot.up()
        session = simulator.world.session(simulator.world.ring("bot1", "3002"))
        await until(lambda: session.state == "Talking")

        def say_and_hear(text):
            simulator.world.say(session.id, text)
            return lambda: sum(line.number == "1001" for line in session.transcript)

        yield imbot, say_and_hear


async def told(imbot, capsys, does, *given, **named):
    """Return the exit code and what was said."""
    code = await asyncio.to_thread(does, *given, imbot.folder / "imbot.yaml", **named)
    said = capsys.readouterr()
    return code, (said.out + said.err).splitlines()[-1]


@pytest.mark.parametrize("imbot", ["clear", "encrypted"], indirect=True)
async def test_all_effects_are_stopped_and_let_go_on(imbot, capsys):
    imbot, say = imbot
    assert (await told(imbot, capsys, steering.halt, "a test"))[0] == 0
    heard = say("hi")
    await asyncio.sleep(0.7)
    assert heard() == 0
    assert await told(imbot, capsys, steering.release) == (
        0,
        "effects go on, those of what happens from now",
    )
    heard = say("hi again")
    await until(lambda: heard() == 1)


async def test_a_calendar_is_closed_and_counts_again(imbot, capsys):
    imbot, say = imbot
    assert await told(imbot, capsys, steering.close, "shop", closed=True) == (0, "shop is closed")
    heard = say("hi")
    await asyncio.sleep(0.7)
    assert heard() == 0
    code, said = await told(imbot, capsys, steering.close, "shop", closed=False)
    assert (code, said) == (0, "the hours of shop count")
    code, said = await told(imbot, capsys, steering.close, "shp", closed=True)
    assert (code, said) == (1, "imbot: there is no calendar 'shp'; did you mean 'shop'?")


@pytest.mark.parametrize(
    ("off", "shadow", "said"),
    [
        (True, None, "answer is off"),
        (False, True, "answer runs in shadow"),
        (False, False, "answer runs live"),
        (False, None, "answer is as its file says"),
    ],
)
async def test_a_rule_is_switched(imbot, capsys, off, shadow, said):
    imbot, _ = imbot
    found = await told(imbot, capsys, steering.switch, "answer", off=off, shadow=shadow)
    assert found == (0, said)
    assert ("answer" in imbot.app.steering.switches.rules) is (off or shadow is not None)


async def test_who_cannot_be_asked_is_named(imbot, capsys, monkeypatch):
    imbot, _ = imbot
    monkeypatch.setenv("IMBOT_TOKEN", "wrong")
    code, said = await told(imbot, capsys, steering.halt, "")
    assert (code, said) == (1, "imbot: show a token: Authorization: Bearer imbot_…")

    path = imbot.folder / "imbot.yaml"
    settings = path.read_text()
    path.write_text(settings.replace(imbot.app.server.url.rpartition(":")[2], "1"))
    with pytest.raises(ImbotError, match=r"no imbot answers at http://127\.0\.0\.1:1 .*running\?"):
        await told(imbot, capsys, steering.release)
    path.write_text(settings.replace("token: a-token-of-the-settings", ""))
    monkeypatch.delenv("IMBOT_TOKEN")
    with pytest.raises(ImbotError, match=r"there is no token; set admin\.token"):
        await told(imbot, capsys, steering.release)


@pytest.mark.parametrize("imbot", ["encrypted"], indirect=True)
async def test_a_certificate_that_cannot_be_read_is_named(imbot, capsys):
    imbot, _ = imbot
    (imbot.folder / "tls.pem").unlink()
    with pytest.raises(ImbotError, match=r"admin\.tls\.certificate .*tls\.pem cannot be read"):
        await told(imbot, capsys, steering.halt, "")


def test_a_token_is_shown_once_with_what_stands_in_the_settings(capsys):
    assert steering.token("alice", "operate") == 0
    said = capsys.readouterr().out
    assert "imbot_" in said
    assert '- {name: "alice", role: operate,' in said


@pytest.mark.parametrize("listen", ["0.0.0.0:8081", "[::]:8081", "imbot.example:8081"])
def test_an_address_that_others_reach_takes_tls_and_a_token(listen):
    with pytest.raises(ValueError, match="takes tls and a token"):
        AdminPart(listen=listen, token="t")
    tls = {"certificate": "c.pem", "key": "k.pem"}
    with pytest.raises(ValueError, match="takes tls and a token"):
        AdminPart(listen=listen, tls=tls)
    AdminPart(listen=listen, tls=tls, token="t")


def test_a_command_that_steers_imports_nothing_that_runs():
    """In a hurry nobody waits for an engine to be imported that is not used."""
    heavy = {"imbot.engine", "imbot.rulebook", "aiohttp", "structlog", "jinja2", "sqlalchemy"}
    asked = f"import sys, imbot.cli.root, imbot.cli.steering; print({heavy} & sys.modules.keys())"
    words = [sys.executable, "-c", asked]
    told = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603  our own
    assert told.stdout == "set()\n"
