"""No secret of the settings is in the log, the store, or anything that a command or port shows."""

import asyncio
import io
import json
import logging
from base64 import b64encode
from urllib.parse import quote

import pytest
import structlog
from aiohttp import web

from imbot.admin.desk import Desk
from imbot.admin.metrics import Metrics
from imbot.admin.openapi import described
from imbot.admin.routing import Asked
from imbot.cli.parked import parked
from imbot.cli.running import introduce
from imbot.cli.showing import config
from imbot.cli.sightlog import discreetly
from imbot.config import Loaded
from imbot.discretion import Discretion
from imbot.engine.watching import Happened
from imbot.logs import configure_logs
from imbot.settings import Settings
from imbot.simulator.serving import served_in_memory
from tests.flow.stage import CRM, GWS, staged
from tests.flow.test_secrets import files, shown

ODD = "odd.test:80"
PASSWORD, WRONG = "canary/pass word+1", "canary/wrong word+2"
BEARER, COOKIE, HEADER = "canary-bearer-3", "canary-cookie-4", "canary-header-5"
ADMIN, TOKEN, NAMED, OPTION = "canary-admin-6", "canary-crm-7", "canary/named+8", "canary&option=9"
SECRETS = (PASSWORD, WRONG, BEARER, COOKIE, HEADER, ADMIN, TOKEN, NAMED, OPTION)

PLUGIN = '''
"""Tells its secret in every way that it can."""

from base64 import b64encode

from pydantic import SecretStr

from imbot.plugin import Context, Model, PermanentError, Plugin, action


class Options(Model):
    """Settings."""

    api_token: SecretStr
    """A secret."""


class No(Model):
    """Arguments."""

    how: int
    """In which way."""


@action("tell", args=No)
async def tell(ctx: Context, args: No) -> None:
    """Fail."""
    token = ctx.options.api_token.get_secret_value()
    if args.how == 0:
        raise PermanentError(f"the token {token} is refused")
    if args.how == 1:
        raise ValueError(f"token={token!r} as {b64encode(token.encode())!r}")
    answer = await ctx.http.request("POST", "http://odd.test/", headers={"X-Key": token})
    answer.require(("2xx",))


plugin = Plugin("tell", options=Options, actions=(tell,))
'''

TOLD = 'on_error: [{log: "{{ error.message }}"}]'
RULES = f"""
version: 1
rules:
  - id: tell
    trigger: {{message: any}}
    mode: queue
    do:
      - tell: {{how: 0}}
        {TOLD}
      - tell: {{how: 1}}
        {TOLD}
      - tell: {{how: 2}}
        {TOLD}
      - crm.lookup: {{}}
        {TOLD}
      - http:
          post: "http://{ODD}/"
          headers: {{Authorization: "Bearer {{{{ secret('NAMED') }}}}"}}
        {TOLD}
      - reply: done
"""


def forms(secret):
    """Return a secret as it is, and as others write it."""
    raw = secret.encode()
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    yield b64encode(raw).decode().rstrip("=")
    for user in ("bot1", "bot2"):
        yield b64encode(f"{user}:{secret}".encode()).decode().rstrip("=")


@pytest.fixture
async def stage(tmp_path):
    async with staged(tmp_path, users=("bot1", "bot2"), password=PASSWORD) as made:
        yield made


@pytest.fixture
async def heard(stage):
    """Serve what refuses everything and tells it back; return what it heard."""
    found = []

    async def echo(request):
        found.append(dict(request.headers))
        return web.json_response({"you": dict(request.headers)}, status=401)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", echo)
    async with served_in_memory(app) as server:
        stage.servers[ODD] = stage.servers[CRM] = server
        yield found


@pytest.fixture
def logged():
    before = logging.getLogger().handlers[:], logging.getLogger().level
    outs = []

    def configure(style, discretion):
        outs.append(io.StringIO())
        configure_logs("debug", style, outs[-1], discretion=discretion)
        return outs[-1]

    yield configure
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = before[0]
    logging.getLogger().setLevel(before[1])


def parts():
    """Return settings in which every secret is a canary."""
    return {
        "agents": [
            {"user": "bot1", "password": PASSWORD},
            {"user": "bot2", "password": WRONG},
            {"user": "bot3", "auth": {"bearer": BEARER}},
            {"user": "bot4", "auth": {"cookies": {"JSESSIONID": COOKIE}}},
            {"user": "bot5", "auth": {"headers": {"X-Remote-User": HEADER}}},
        ],
        "secrets": {"NAMED": NAMED},
        "admin": {"token": ADMIN},
        "http": {"allow": [f"http://{ODD}", f"http://{CRM}"]},
        "plugins": {
            "paths": ["plugins"],
            "options": {
                "crm": {"url": f"http://{CRM}", "token": TOKEN},
                "tell": {"api_token": OPTION},
            },
        },
    }


async def answers(imbot, session, event):
    """Return all that the admin API answers, and how it is described."""
    routes = Desk(imbot.app.office()).routes
    given = {"/why": {"event": event}, "/sessions/{session}": {"why": True}}
    told = {"openapi": str(described(routes, version="0"))}
    for route in routes:
        if not route.changes:
            form = route.query
            query = None if form is None else form.model_validate(given.get(route.path, {}))
            named = {"session": session, "rule": imbot.app.rulebook.rules[0].id}
            answer = await route.answers(Asked("alice", named, query))
            told[route.path] = answer.model_dump_json()
    return told


@pytest.mark.looptime(noop_cycles=1)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("style", ["json", "text"])
async def test_a_secret_is_nowhere(stage, heard, logged, capsys, monkeypatch, style):
    monkeypatch.chdir(stage.folder)
    (stage.folder / "plugins").mkdir()
    (stage.folder / "plugins" / "tell.py").write_text(PLUGIN)
    told = {
        **parts(),
        "gws": {"url": f"http://{GWS}"},
        "rules": [],
        "store": "sqlite:///imbot.db",
    }
    settings = Settings.model_validate(told)
    discretion, metrics = Discretion(), Metrics(stage.clock)
    introduce(Loaded(settings, base=stage.folder, path=stage.folder / "imbot.yaml"), discretion)
    out = logged(style, discretion)
    watch = discreetly(discretion)

    def see(sight):
        watch(sight)
        metrics.watch(sight)

    stage.watch = see
    imbot = await stage.launch(RULES, **parts())
    await stage.seconds(30)
    call = stage.ring("3001")
    await stage.seconds(2)
    for text in ("one", "two", "three"):
        call.say(text)
        await stage.seconds(30)
    stage.faults(session_lost=0.2, drop_before=0.3, error_after=0.3, handshake_denied=0.2)
    call.say("four")
    await stage.seconds(300)
    stage.faults()
    health = str(imbot.app.health())
    event = next(
        sight.event.id
        for sight in imbot.sights
        if isinstance(sight, Happened) and sight.event.fields.get("text") == "one"
    )
    imbot.kill()
    kept = files(stage)
    imbot = await stage.launch(RULES, **parts())
    await stage.seconds(60)
    exposition = str(metrics.text(imbot.app.health()))
    answered = await answers(imbot, call.id, event)
    await imbot.stop()
    kept += files(stage)
    (stage.folder / "imbot.yaml").write_text(json.dumps(told))
    await asyncio.to_thread(shown, call.id)
    await asyncio.to_thread(config, None, ())
    await asyncio.to_thread(parked, "list", (), None)
    printed = "".join(capsys.readouterr())
    log = out.getvalue()

    sent = str(heard)
    assert all(secret in sent for secret in (TOKEN, NAMED, OPTION))
    assert "step.failed" in log
    assert "[secret]" in log or ".secret" in log
    assert "********" in printed
    assert len(answered) > 12
    assert "********" in answered["/settings"]
    assert "is refused" in answered["/sessions/{session}"]
    places = {
        "log": log,
        "store": kept.decode("utf-8", "replace"),
        "health": health + repr(imbot.app.health()),
        "metrics": exposition,
        "printed": printed,
        "settings": repr(settings) + str(settings),
        "app": repr(vars(imbot.app)),
        **answered,
    }
    found = [
        (place, form)
        for place, text in places.items()
        for secret in SECRETS
        for form in forms(secret)
        if form in text
    ]
    assert found == []
