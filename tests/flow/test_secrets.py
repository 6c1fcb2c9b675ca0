"""What a rule sends of secrets is nowhere in what imbot keeps, logs or shows."""

import asyncio
import json
import logging

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from imbot.cli.explaining import explain_session
from imbot.cli.formats import Format
from imbot.cli.recording import record
from imbot.cli.sessions import sessions
from imbot.cli.sightlog import log_sight
from imbot.cli.tracing import trace
from imbot.simulator.serving import served_in_memory
from tests.flow.stage import GWS

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(120)]

#: However it is written, so much of it is left as it is.
CANARY = "canary-7f3a"
TOKEN = f"{CANARY}/of the mine"
ECHO = "echo.test:80"
SECRET = "{{ secret('CRM_TOKEN') }}"
TOLD = 'on_error: [{log: "{{ error.message }}"}]'

RULES = f"""
version: 1
rules:
  - id: sync
    trigger: {{message: any}}
    do:
      - http:
          post: "http://{ECHO}/{SECRET}?key={SECRET}"
          headers: {{X-Key: "Bearer {SECRET}"}}
          json: {{key: "{SECRET}", text: "{{{{ message.text }}}}"}}
        as: answer
      - reply: "{{{{ answer.json.body }}}}"
      - http: {{put: "http://{ECHO}/form", form: {{key: "{SECRET}"}}, expect: [201]}}
        {TOLD}
      - http: {{get: "http://{ECHO}/{SECRET}"}}
        as: got
      - log: "{{{{ got.text }}}} {{{{ got.headers['x-path'] }}}}"
      - http: {{post: "http://{ECHO}/", headers: {{X-Key: "a\\n{SECRET}"}}}}
        {TOLD}
      - wait: 10s
      - reply: "{{{{ answer.text }}}}"
"""


@pytest.fixture
async def heard(stage):
    """Serve what tells everything that it was sent; return that."""
    found = []

    async def echo(request):
        body = await request.text()
        found.append((request.path, request.headers.get("X-Key"), body))
        told = {"body": body, "path": str(request.url), "headers": dict(request.headers)}
        return web.json_response(told, headers={"X-Path": request.path_qs})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", echo)
    async with served_in_memory(app) as server:
        stage.servers[ECHO] = server
        yield found


@pytest.mark.parametrize("shadow", [False, True])
async def test_a_secret_that_is_sent_is_nowhere_else(stage, heard, capsys, monkeypatch, shadow):
    monkeypatch.chdir(stage.folder)
    logging.getLogger().setLevel(logging.DEBUG)
    parts = {
        "secrets": {"CRM_TOKEN": TOKEN},
        "http": {"allow": [f"http://{ECHO}"]},
        "shadow": shadow,
    }
    with capture_logs() as logs:
        imbot = await stage.start(RULES, **parts)
        call = stage.ring("3001")
        await stage.seconds(1)
        call.say("hello")
        await stage.seconds(5)
        imbot.kill()
        kept = files(stage)
        imbot = await stage.start(RULES, **parts)
        await stage.seconds(30)
        await imbot.stop()
        for sight in imbot.sights:
            log_sight(sight)
    kept += files(stage)
    settings = {
        **parts,
        "gws": {"url": f"http://{GWS}"},
        "agents": [{"user": "bot1", "password": "pw"}],
        "rules": [path.name for path in sorted(stage.folder.glob("imbot-*.yaml"))[-1:]],
        "store": "sqlite:///imbot.db",
    }
    (stage.folder / "imbot.yaml").write_text(json.dumps(settings))
    await asyncio.to_thread(shown, call.id)
    out, err = capsys.readouterr()

    assert bool(heard) is not shadow
    if not shadow:
        assert heard[0] == (f"/{TOKEN}", f"Bearer {TOKEN}", heard[0][2])
        assert json.loads(heard[0][2]) == {"key": TOKEN, "text": "hello"}
        assert len(call.heard) == 2
    assert CANARY.encode() not in kept
    assert CANARY not in str(logs)
    assert CANARY not in out + err
    assert CANARY not in str(call.heard)
    assert "crm-token.secret" in out
    assert b"crm-token.secret" in kept


def files(stage):
    """Return what is on disk, the write-ahead log too."""
    return b"".join(path.read_bytes() for path in sorted(stage.folder.glob("imbot.db*")))


def shown(session_id):
    """Print whatever tells of a session."""
    sessions(session_id, None, agent=None, limit=50, as_json=False)
    sessions(session_id, None, agent=None, limit=50, as_json=True)
    explain_session(session_id, None, rules=(), rule_id=None, form=Format.TEXT)
    trace(session_id, None, agent=None)
    for redaction in (True, False):
        record(
            None,
            since=None,
            until=None,
            session_id=None,
            redaction=redaction,
            with_texts=True,
            key=None,
        )
